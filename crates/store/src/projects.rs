//! Projects, the namespaces that own them, and what is configured for each.

pub mod deploy_keys;
pub(crate) mod namespaces;
pub mod pipelines;
pub(crate) mod queries;
pub mod removal;
pub(crate) mod row;
pub mod search;
pub mod secrets;
pub mod triggers;
pub mod webhooks;

pub use namespaces::{
    Namespace, insert_namespace, list_namespaces, list_namespaces_of, list_namespaces_of_after,
    namespace, namespace_by_name, namespace_locked, set_max_builds,
};
pub use queries::{
    ImagePlace, Reach, by_path, get, image_places, insert, limit_to_one, list, list_visible, paths,
    readable_ids, reset_runners_nonces, set_read_only, update,
};
pub use row::{Project, Settings};

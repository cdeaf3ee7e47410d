//! People: users, their memberships, and the secrets with which they call the farm.

pub mod cli_logins;
pub mod log_keys;
pub(crate) mod members;
pub mod robots;
pub mod tokens;
pub(crate) mod users;

pub use members::{
    Member, Memberships, delete_namespace_member, delete_project_member, memberships,
    namespace_members, namespace_owners, namespace_role, project_members, project_role,
    set_namespace_member, set_project_member,
};
pub use users::{
    User, all, any, by_name, clear_password, get, insert, list, password_hash, set_password_hash,
    update,
};

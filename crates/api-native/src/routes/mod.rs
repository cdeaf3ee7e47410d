//! The routes, by subject. Each is registered and documented through the one list in `lib.rs`.

pub(crate) mod artifacts;
pub(crate) mod builds;
pub(crate) mod deploy_keys;
pub(crate) mod docs;
pub(crate) mod jobs;
pub(crate) mod log_keys;
pub(crate) mod namespaces;
pub(crate) mod people;
pub(crate) mod pipelines;
pub(crate) mod projects;
pub(crate) mod queue;
pub(crate) mod registration;
pub(crate) mod robots;
pub(crate) mod runners;
pub(crate) mod secrets;
pub(crate) mod sources;
pub(crate) mod tokens;
pub(crate) mod traces;
pub(crate) mod triggers;

//! Namespaces, projects, their pipelines, secrets and triggers.

pub(crate) mod auto_create;
pub(crate) mod build_variables;
pub(crate) mod delete;
pub(crate) mod deploy_keys;
pub(crate) mod first_use;
pub(crate) mod image_repository;
pub(crate) mod lists;
pub(crate) mod manage;
pub(crate) mod namespace_pipelines;
pub(crate) mod pipelines;
pub(crate) mod repo_url;
pub(crate) mod robots;
pub(crate) mod secret_checks;
pub(crate) mod secrets;
pub(crate) mod triggers;

//! Runners: registered, found, changed, and the projects they serve.

pub(crate) mod manage;
pub(crate) mod managers;
pub(crate) mod registration_tokens;
pub(crate) mod served_projects;

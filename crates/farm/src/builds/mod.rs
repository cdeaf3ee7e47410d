//! Builds: create, find, list, cancel and retry them.

pub(crate) mod actions;
pub(crate) mod attempts;
pub(crate) mod by_commit;
pub(crate) mod commits;
pub(crate) mod create;
pub(crate) mod details;
pub(crate) mod find;
pub(crate) mod job_lists;

//! Builds: created in every way there is, found, listed, canceled and retried.

pub(crate) mod actions;
pub(crate) mod attempts;
pub(crate) mod by_commit;
pub(crate) mod commit_requests;
pub(crate) mod commits;
pub(crate) mod completing;
pub(crate) mod create;
pub(crate) mod definitions;
pub(crate) mod details;
pub(crate) mod enqueue;
pub(crate) mod find;
pub(crate) mod job_lists;
pub(crate) mod packages;
pub(crate) mod sources;
pub(crate) mod submitted;
pub(crate) mod uploads;

//! Every way to create a build. All of them end in `enqueue`.

pub(crate) mod commit_requests;
pub(crate) mod completing;
pub(crate) mod definitions;
pub(crate) mod enqueue;
pub(crate) mod from_commit;
pub(crate) mod packages;
pub(crate) mod sources;
pub(crate) mod submitted;
pub(crate) mod uploads;

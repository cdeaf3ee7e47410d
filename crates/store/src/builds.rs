//! Builds: one run of a pipeline for a commit each, with the commits and files they are made from.

pub mod by_commit;
pub mod commits;
pub(crate) mod create;
pub(crate) mod ending;
pub(crate) mod queries;
pub(crate) mod row;
pub mod statuses;
pub mod uploads;

pub use create::{NewBuild, create};
pub use ending::{fail, mark_canceled, overdue, postpone_deadlines};
pub use queries::{
    Filter, by_number, by_uuid, count_unfinished, created_since, exists_for_commit,
    exists_for_package, get, newest_succeeded, of_project, slice_of_project,
};
pub use row::{Build, BuildError, Submission};

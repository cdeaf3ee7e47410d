//! Jobs: their rows and states, and everything else that is stored for a job.

pub mod artifact_uploads;
pub mod artifacts;
pub(crate) mod blobs;
pub(crate) mod changes;
pub(crate) mod create;
pub(crate) mod details;
pub(crate) mod leases;
pub mod lists;
pub(crate) mod needs;
pub mod phases;
pub(crate) mod queries;
pub mod retries;
pub(crate) mod row;
pub(crate) mod state;
pub mod traces;

pub use blobs::{EndedJob, blobs_of, ended_between};
pub use changes::Changes;
pub use create::{NewJob, Retried, insert};
pub(crate) use details::record_manager;
pub use details::{
    Details, details_of, details_of_builds, is_ending, record_build_steps, record_exit,
    record_stopped, record_trace_incomplete, renew_ending,
};
pub use leases::{RunningLease, end_leases_of, grant_grace, lapsed, renew, running_leases};
pub use needs::{dependents, missing_need, needs, needs_of_build, needs_with_artifacts};
pub use queries::{get, get_locked, latest_of_builds, of_build, of_project};
pub use row::Job;
pub use state::{apply, mark_erased};

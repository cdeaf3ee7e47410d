//! The trace of a job: stored on this host's disk without secrets, and sent to the coordinator.

pub mod sender;
pub mod spool;

//! The trace of a job: masked, stored on this host's disk, and sent to the coordinator.

pub mod mask;
pub mod sender;
pub mod spool;

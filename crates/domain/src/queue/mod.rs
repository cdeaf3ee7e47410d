//! The queue: which runner can serve which job, who goes first, and why a job still waits.

mod assignment;
pub mod features;
mod pending;
mod requirement;
mod warm;

pub use assignment::{Candidate, KeyQueue, assign_jobs};
pub use pending::{PendingReason, RunnerView, explain_pending, has_alternative};
pub use requirement::{Capabilities, ProjectPolicy, Requirement, RunnerScope};
pub use warm::{RunnerActivity, WarmRunner, reserve_for};

#[cfg(test)]
mod tests;

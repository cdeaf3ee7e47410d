//! The queue: which runner can serve which job, who goes first, and why a job still waits.

mod assignment;
pub mod features;
mod pending;
mod requirement;
mod warm;

pub use assignment::{Candidate, Line, deal};
pub use pending::{PendingReason, RunnerView, why_pending};
pub use requirement::{Capabilities, ProjectPolicy, Requirement, RunnerScope};
pub use warm::{WarmRunner, Work, keep_for};

#[cfg(test)]
mod tests;

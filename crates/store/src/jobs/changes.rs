//! What changed with jobs, for callers to act on after the commit.

use slipway_domain::{JobId, QueueKeyId};

/// What changed with a job, for the caller to act on after the commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Requirements for which a job became pending, or may now run.
    pub pending: Vec<QueueKeyId>,
    /// Requirements for which a job became pending that is kept for one runner for now.
    pub kept: Vec<QueueKeyId>,
    /// Jobs whose state changed.
    pub jobs: Vec<JobId>,
}

impl Changes {
    /// Adds what `other` holds.
    pub fn extend(&mut self, other: Changes) {
        self.pending.extend(other.pending);
        self.kept.extend(other.kept);
        self.jobs.extend(other.jobs);
    }
}

//! What a transaction changed about jobs.

use slipway_domain::{JobId, QueueKeyId};

/// What a transaction changed about jobs, for the caller to act on after the commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Queue keys under which a job became pending, or under which pending jobs may now run.
    pub pending: Vec<QueueKeyId>,
    /// Queue keys under which a job became pending that is reserved for one runner for now.
    pub reserved: Vec<QueueKeyId>,
    /// Jobs whose state changed.
    pub jobs: Vec<JobId>,
}

impl Changes {
    /// Adds the changes of `other`.
    pub fn extend(&mut self, other: Changes) {
        self.pending.extend(other.pending);
        self.reserved.extend(other.reserved);
        self.jobs.extend(other.jobs);
    }
}

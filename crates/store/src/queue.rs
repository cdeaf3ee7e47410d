//! The queue: an index of pending jobs by what they require, never a scan.
//!
//! A claim looks at the heads of the queue keys that its runners can serve. Its cost depends on
//! the number of keys, not on the number of jobs under them.

mod again;
mod batch;
pub(crate) mod claims;
pub(crate) mod keys;
pub mod reservations;
mod statements;
pub(crate) mod types;

pub use again::{claim_again, claimed_by};
pub use keys::{
    Backlog, avoids_runner, backlog, backlogs, backlogs_of_few, key_for, pending_keys,
    pending_queues, requirement, running, running_total,
};
pub use types::Claimed;

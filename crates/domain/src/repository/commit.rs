//! A commit, as far as the farm shows it.

use chrono::{DateTime, FixedOffset};

use crate::names::CommitSha;

/// The longest message of a commit that is kept, in bytes.
pub const MAX_COMMIT_MESSAGE: usize = 64 * 1024;

/// What is known of one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its name.
    pub sha: CommitSha,
    /// The commits it follows.
    pub parents: Vec<CommitSha>,
    /// Who made the change.
    pub author: Signature,
    /// Who put it into the repository.
    pub committer: Signature,
    /// What they say of it, up to [`MAX_COMMIT_MESSAGE`] bytes.
    pub message: String,
}

/// Who had a part in a commit, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: String,
    /// The time, as it was where they were.
    pub at: DateTime<FixedOffset>,
}

impl Commit {
    /// The first line of the message.
    pub fn title(&self) -> &str {
        self.message.trim_start().lines().next().unwrap_or_default()
    }

    /// The sha's first eight digits.
    pub fn short_id(&self) -> &str {
        let sha = self.sha.as_str();
        sha.get(..8).unwrap_or(sha)
    }
}

//! The metadata of a commit.

use chrono::{DateTime, FixedOffset};

use crate::names::CommitSha;

/// The maximum stored length of a commit message, in bytes.
pub const MAX_COMMIT_MESSAGE: usize = 64 * 1024;

/// The metadata of one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub sha: CommitSha,
    pub parents: Vec<CommitSha>,
    /// Who wrote the change.
    pub author: Signature,
    /// Who committed it, which differs from the author after a rebase for instance.
    pub committer: Signature,
    /// Cut to [`MAX_COMMIT_MESSAGE`] bytes.
    pub message: String,
}

/// The author or committer of a commit, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub name: String,
    pub email: String,
    /// In the author's own time zone.
    pub at: DateTime<FixedOffset>,
}

impl Commit {
    /// The first line of the message.
    pub fn title(&self) -> &str {
        self.message.trim_start().lines().next().unwrap_or_default()
    }

    /// The first eight digits of the sha.
    pub fn short_id(&self) -> &str {
        let sha = self.sha.as_str();
        sha.get(..8).unwrap_or(sha)
    }
}

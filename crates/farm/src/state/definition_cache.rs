//! The definitions that repositories had at commits that were built lately.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use slipway_domain::pipeline::Definition;
use slipway_domain::{CommitSha, ProjectId};

/// How many commits are remembered by what their repository brought along.
const REMEMBERED: usize = 64;

/// A commit of a project, with the address that the repository had.
pub(crate) type At = (ProjectId, String, CommitSha);

/// What repositories brought along lately: it never changes at a commit, and a push that starts
/// several pipelines reads it once.
#[derive(Default)]
pub(crate) struct Brought(Mutex<VecDeque<(At, Option<Definition>)>>);

impl Brought {
    /// What is known of a commit: its jobs, or that it has none.
    pub(crate) fn get(&self, at: &At) -> Option<Option<Definition>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().find(|(known, _)| known == at);
        found.map(|(_, brought)| brought.clone())
    }

    pub(crate) fn put(&self, at: At, brought: Option<Definition>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.push_front((at, brought));
        known.truncate(REMEMBERED);
    }
}

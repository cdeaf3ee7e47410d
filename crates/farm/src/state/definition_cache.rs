//! Caches the pipeline definitions that were read from repositories.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use slipway_domain::pipeline::Definition;
use slipway_domain::{CommitSha, ProjectId};

/// How many commits the cache holds.
const CAPACITY: usize = 64;

/// A commit of a project, with the URL that the repository had when it was read.
pub(crate) type DefinitionKey = (ProjectId, String, CommitSha);

/// The definitions that were read last. A definition never changes at a commit, and a push that
/// starts several pipelines reads it once.
#[derive(Default)]
pub(crate) struct DefinitionCache(Mutex<VecDeque<(DefinitionKey, Option<Definition>)>>);

impl DefinitionCache {
    /// The cached definition of a commit; `Some(None)` when the commit is known to have none.
    pub(crate) fn get(&self, key: &DefinitionKey) -> Option<Option<Definition>> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = cached.iter().find(|(known, _)| known == key);
        found.map(|(_, definition)| definition.clone())
    }

    pub(crate) fn put(&self, key: DefinitionKey, definition: Option<Definition>) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cached.push_front((key, definition));
        cached.truncate(CAPACITY);
    }
}

//! Tracks which commits are being looked up in their repositories, and which repositories failed
//! lately.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slipway_domain::{CommitSha, ProjectId};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// How many background lookups run at the same time.
const MAX_BACKGROUND: usize = 2;
/// How many lookups run at the same time for requests that wait for them.
const MAX_FOREGROUND: usize = 4;
/// How many background lookups may be queued. Commits above that are looked up on request.
const MAX_QUEUED: usize = 1000;
/// How long background lookups leave out a repository that could not be read.
const BACKOFF: Duration = Duration::from_secs(60);

/// Running and queued lookups of commits.
pub(crate) struct CommitLookups {
    pub(crate) background: Semaphore,
    pub(crate) foreground: Semaphore,
    queued: Mutex<HashSet<(ProjectId, CommitSha)>>,
    /// Projects whose repository could not be read, and until when it is left out.
    backoff: Mutex<HashMap<ProjectId, Instant>>,
}

impl Default for CommitLookups {
    fn default() -> Self {
        Self {
            background: Semaphore::new(MAX_BACKGROUND),
            foreground: Semaphore::new(MAX_FOREGROUND),
            queued: Mutex::default(),
            backoff: Mutex::default(),
        }
    }
}

impl CommitLookups {
    /// Queues a background lookup. Returns `false` when the commit is queued already, the queue is
    /// full, or the repository is in backoff.
    pub(crate) fn try_queue(&self, project: ProjectId, sha: &CommitSha) -> bool {
        let now = Instant::now();
        let mut backoff = lock(&self.backoff);
        // Expired entries go here, so that the map does not grow with every failed repository.
        backoff.retain(|_, until| now < *until);
        if backoff.contains_key(&project) {
            return false;
        }
        let mut queued = lock(&self.queued);
        queued.len() < MAX_QUEUED && queued.insert((project, sha.clone()))
    }

    /// Ends a lookup that [`CommitLookups::try_queue`] accepted.
    pub(crate) fn finish(&self, project: ProjectId, sha: CommitSha) {
        lock(&self.queued).remove(&(project, sha));
    }

    /// Leaves the repository of a project out of background lookups for a while.
    pub(crate) fn back_off(&self, project: ProjectId) {
        lock(&self.backoff).insert(project, Instant::now() + BACKOFF);
    }
}

/// Code that holds one of these locks cannot panic between two changes, so a poisoned map is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_queued_once_and_a_failed_repository_is_backed_off() {
        let lookups = CommitLookups::default();
        let (one, two) = (ProjectId(1), ProjectId(2));
        let sha: CommitSha = "a".repeat(40).parse().unwrap();
        assert!(lookups.try_queue(one, &sha));
        assert!(!lookups.try_queue(one, &sha));
        assert!(lookups.try_queue(two, &sha));
        lookups.finish(one, sha.clone());
        assert!(lookups.try_queue(one, &sha));
        lookups.finish(one, sha.clone());
        lookups.back_off(one);
        assert!(!lookups.try_queue(one, &sha));
    }
}

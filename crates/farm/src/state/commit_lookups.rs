//! Which commits are being looked up, and which repositories are not asked for the moment.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use slipway_domain::{CommitSha, ProjectId};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// How many commits are learnt at once without anybody waiting for them.
const IN_BACKGROUND: usize = 2;
/// How many are looked up at once for somebody who waits.
const ASKED_FOR: usize = 4;
/// How many may stand in line to be learnt. Others are learnt when somebody asks for them.
const MAX_LINE: usize = 1000;
/// How long a repository that could not be read is left alone by what nobody waits for.
const LEAVE_ALONE: Duration = Duration::from_secs(60);

/// What is being learnt, and what is not worth a try now.
pub(crate) struct Learning {
    pub(crate) background: Semaphore,
    pub(crate) asked_for: Semaphore,
    line: Mutex<HashSet<(ProjectId, CommitSha)>>,
    left_alone: Mutex<HashMap<ProjectId, Instant>>,
}

impl Default for Learning {
    fn default() -> Self {
        Self {
            background: Semaphore::new(IN_BACKGROUND),
            asked_for: Semaphore::new(ASKED_FOR),
            line: Mutex::default(),
            left_alone: Mutex::default(),
        }
    }
}

impl Learning {
    /// Whether a commit gets a place in the line: it is not there yet, and its repository is not
    /// left alone.
    pub(crate) fn enter(&self, project: ProjectId, sha: &CommitSha) -> bool {
        let now = Instant::now();
        let mut left_alone = lock(&self.left_alone);
        left_alone.retain(|_, until| now < *until);
        if left_alone.contains_key(&project) {
            return false;
        }
        let mut line = lock(&self.line);
        line.len() < MAX_LINE && line.insert((project, sha.clone()))
    }

    pub(crate) fn leave(&self, project: ProjectId, sha: CommitSha) {
        lock(&self.line).remove(&(project, sha));
    }

    pub(crate) fn leave_alone(&self, project: ProjectId) {
        lock(&self.left_alone).insert(project, Instant::now() + LEAVE_ALONE);
    }
}

/// Nothing that holds one of these locks can leave its map half changed.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_stands_in_line_once_and_a_repository_that_is_away_is_left_alone() {
        let learning = Learning::default();
        let (one, two) = (ProjectId(1), ProjectId(2));
        let sha: CommitSha = "a".repeat(40).parse().unwrap();
        assert!(learning.enter(one, &sha));
        assert!(!learning.enter(one, &sha));
        assert!(learning.enter(two, &sha));
        learning.leave(one, sha.clone());
        assert!(learning.enter(one, &sha));
        learning.leave(one, sha.clone());
        learning.leave_alone(one);
        assert!(!learning.enter(one, &sha));
    }
}

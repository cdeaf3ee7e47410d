//! Reads of definitions from repositories that are under way, so that requests for one commit share
//! one read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use slipway_domain::pipeline::Definition;
use slipway_git::GitError;
use tokio::sync::watch;

use crate::state::definition_cache::DefinitionKey;

/// How many reads are kept at most after they failed without a caller.
const MAX_FAILED: usize = 64;

/// Why a definition could not be read.
#[derive(Clone, Debug)]
pub(crate) enum ReadFailure {
    /// The definition is invalid, for this reason.
    Invalid(String),
    /// The repository could not be read.
    Source(Arc<GitError>),
}

/// The result of a read.
pub(crate) type ReadResult = Result<Option<Definition>, ReadFailure>;
/// Where a read leaves its result.
pub(crate) type ReadEnd = watch::Sender<Option<ReadResult>>;

/// Where a caller gets the result of a read.
pub(crate) type Reading = watch::Receiver<Option<ReadResult>>;

/// The reads that are under way, and those that failed after all their callers had given up: the next
/// caller gets such a failure at once, and learns why it waited in vain.
#[derive(Default)]
pub(crate) struct DefinitionReads(Mutex<Reads>);

type Reads = HashMap<DefinitionKey, Reading>;

impl DefinitionReads {
    /// Joins the read of a commit, which `start` starts if there is none. [`result_of`] waits for it.
    pub(crate) fn join(
        &self,
        key: DefinitionKey,
        start: impl FnOnce(DefinitionKey, ReadEnd),
    ) -> Reading {
        let mut reads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A read without a sender and without a result was cut off.
        let usable = |read: &&Reading| read.has_changed().is_ok() || has_ended(read);
        let reading = match reads.get(&key).filter(usable) {
            Some(reading) => reading.clone(),
            None => {
                let (end, reading) = watch::channel(None);
                reads.insert(key.clone(), reading.clone());
                start(key.clone(), end);
                reading
            }
        };
        if has_ended(&reading) {
            reads.remove(&key);
        }
        reading
    }

    /// Ends the read of a commit.
    pub(crate) fn finish(&self, key: &DefinitionKey, end: &ReadEnd, result: ReadResult) {
        let mut reads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One receiver is the one in the map.
        let is_awaited = end.receiver_count() > 1;
        if result.is_ok() || is_awaited {
            reads.remove(key);
        } else if reads.values().filter(|read| has_ended(read)).count() >= MAX_FAILED {
            reads.retain(|_, read| !has_ended(read));
        }
        // Nobody may be waiting any more.
        let _ = end.send(Some(result));
    }
}

/// Waits for the result of a read. `None` if the read is cut off.
pub(crate) async fn result_of(mut reading: Reading) -> Option<ReadResult> {
    let ended = reading.wait_for(Option::is_some).await;
    ended.ok().and_then(|result| result.clone())
}

fn has_ended(read: &Reading) -> bool {
    read.borrow().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipway_domain::{CommitSha, ProjectId};

    fn key() -> DefinitionKey {
        (ProjectId(1), "https://h/a".to_owned(), CommitSha::none())
    }

    fn invalid() -> ReadResult {
        Err(ReadFailure::Invalid("line 1".to_owned()))
    }

    #[tokio::test]
    async fn callers_share_one_read() {
        let reads = DefinitionReads::default();
        let mut started = None;
        let first = reads.join(key(), |_, end| started = Some(end));
        let second = reads.join(key(), |_, _| panic!("a second read was started"));
        reads.finish(&key(), &started.unwrap(), Ok(None));
        assert!(matches!(result_of(first).await, Some(Ok(None))));
        assert!(matches!(result_of(second).await, Some(Ok(None))));
        let mut again = false;
        let cut_off = reads.join(key(), |_, _| again = true);
        assert!(result_of(cut_off).await.is_none());
        assert!(again);
    }

    #[tokio::test]
    async fn the_next_caller_gets_a_failure_that_nobody_waited_for_once() {
        let reads = DefinitionReads::default();
        let mut started = None;
        drop(reads.join(key(), |_, end| started = Some(end)));
        reads.finish(&key(), &started.unwrap(), invalid());
        let late = reads.join(key(), |_, _| panic!("the failure is known"));
        assert!(matches!(
            result_of(late).await,
            Some(Err(ReadFailure::Invalid(_)))
        ));
        let mut again = false;
        drop(reads.join(key(), |_, _| again = true));
        assert!(again);
    }
}

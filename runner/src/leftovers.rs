//! What jobs left in an engine that was away when they ended, such as one that crashed.
//!
//! It is deleted when the engine is back: the rest of each job at once, and once no job runs, all that
//! belongs to this runner.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{RwLock, RwLockReadGuard};

use crate::executor::Executor;

/// What has to be deleted.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// The jobs that could not be cleaned up.
    jobs: Mutex<BTreeSet<i64>>,
    /// Whether there may be more than those jobs show.
    may_be_more: AtomicBool,
    /// Held for reading while something runs in the engine.
    in_use: RwLock<()>,
}

impl Leftovers {
    /// Waits until nothing is deleted that could belong to a running job, and keeps it so until the
    /// value is dropped.
    pub async fn use_engine(&self) -> RwLockReadGuard<'_, ()> {
        self.in_use.read().await
    }

    /// Notes that a job could not be cleaned up.
    pub fn note_job(&self, id: i64) {
        self.jobs().insert(id);
        self.note_engine_lost();
    }

    /// Notes that the engine did not answer, so that requests to it may have been lost.
    pub fn note_engine_lost(&self) {
        self.may_be_more.store(true, Ordering::Release);
    }

    /// Deletes what can be deleted now. Does nothing if there is nothing to delete.
    pub async fn remove(&self, executor: &dyn Executor) {
        let jobs: Vec<i64> = self.jobs().iter().copied().collect();
        for id in jobs {
            if let Err(why) = executor.clean_again(id).await {
                tracing::debug!("Job {id} still cannot be cleaned up: {why}");
                return;
            }
            self.jobs().remove(&id);
            tracing::info!("Deleted what job {id} had left in the engine");
        }
        if !self.may_be_more.load(Ordering::Acquire) {
            return;
        }
        // A job that runs has things in the engine that look like leftovers.
        let Ok(_unused) = self.in_use.try_write() else {
            return;
        };
        // Before the sweep, so that an engine that goes away meanwhile is noticed.
        self.may_be_more.store(false, Ordering::Release);
        if let Err(why) = executor.remove_leftovers().await {
            tracing::debug!("Could not delete leftovers from the engine: {why}");
            self.note_engine_lost();
        }
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeSet<i64>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

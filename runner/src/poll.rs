//! Claims jobs from the coordinator: one poll at a time, and only while a slot is free.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use slipway_protocol::{Info, JobPayload};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::backoff::RequestBackoff;
use crate::client::{ClaimAnswer, Retry};
use crate::jobs::JobRunner;
use crate::work_dir::free_bytes;

/// The delay after an answer that the coordinator gave without holding the poll.
const POLL_INTERVAL: Duration = Duration::from_secs(3);
/// The coordinator did not hold a poll that took less than this.
const HELD: Duration = Duration::from_secs(1);
/// The delay after the coordinator rejected the token: somebody has to register the runner again.
const REJECTED: Duration = Duration::from_secs(60);
/// The delay while the disk is too full to start a job.
const DISK_FULL: Duration = Duration::from_secs(15);

/// A claimed job.
pub enum Claimed {
    /// A job to run.
    Job(Box<JobPayload>),
    /// The id of a job whose payload this runner cannot read.
    Unreadable(i64),
}

impl Claimed {
    /// The id of the job.
    pub fn id(&self) -> i64 {
        match self {
            Self::Job(payload) => payload.id,
            Self::Unreadable(id) => *id,
        }
    }
}

/// Claims jobs for the free slots.
pub struct Poller {
    jobs: Arc<JobRunner>,
    info: Info,
    slots: Arc<Semaphore>,
    min_free_bytes: u64,
    last_update: Option<String>,
    backoff: RequestBackoff,
}

impl Poller {
    /// Creates a poller with `slots` slots. It claims nothing while less than `min_free_bytes` are
    /// free on the disk.
    pub fn new(jobs: Arc<JobRunner>, info: Info, slots: usize, min_free_bytes: u64) -> Self {
        Self {
            jobs,
            info,
            slots: Arc::new(Semaphore::new(slots)),
            min_free_bytes,
            last_update: None,
            backoff: RequestBackoff::up_to(REJECTED),
        }
    }

    /// Waits for a free slot and then for a job.
    ///
    /// Dropping the future may lose a job whose answer is on its way; its lease then expires and the
    /// coordinator retries it.
    pub async fn next(&mut self) -> Option<(Claimed, OwnedSemaphorePermit)> {
        // A job is only claimed when it can start immediately.
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        loop {
            self.wait_for_free_disk().await;
            let started = Instant::now();
            let claim =
                self.jobs
                    .coordinator
                    .claim(&self.jobs.token, &self.info, self.last_update.clone());
            match claim.await {
                ClaimAnswer::Job(job) => {
                    self.backoff.reset();
                    return Some((Claimed::Job(job), slot));
                }
                ClaimAnswer::Unreadable { id } => return Some((Claimed::Unreadable(id), slot)),
                ClaimAnswer::Nothing { last_update } => {
                    self.backoff.reset();
                    let has_changed = last_update.is_some() && last_update != self.last_update;
                    self.last_update = last_update;
                    // A coordinator that does not hold polls would otherwise be asked in a busy
                    // loop. A new value means that the queue changed: poll again immediately.
                    if !has_changed && started.elapsed() < HELD {
                        tokio::time::sleep(POLL_INTERVAL).await;
                    }
                }
                ClaimAnswer::Forbidden => {
                    tracing::error!(
                        "The coordinator rejected the runner token; register this runner again"
                    );
                    tokio::time::sleep(REJECTED).await;
                }
                ClaimAnswer::Retry(retry) => self.back_off(retry).await,
            }
        }
    }

    async fn back_off(&mut self, retry: Retry) {
        let delay = self.backoff.after_failure(retry.after);
        tracing::warn!(
            delay_ms = delay.as_millis(),
            "Polling the coordinator failed: {}",
            retry.why
        );
        tokio::time::sleep(delay).await;
    }

    async fn wait_for_free_disk(&self) {
        let is_enough = || {
            self.free_bytes()
                .is_none_or(|free| free >= self.min_free_bytes)
        };
        loop {
            if is_enough() {
                return;
            }
            self.jobs.executor.free_space(&is_enough).await;
            let free = self.free_bytes();
            let Some(free) = free.filter(|free| *free < self.min_free_bytes) else {
                return;
            };
            tracing::warn!(
                free_bytes = free,
                min_free_bytes = self.min_free_bytes,
                "Claiming no jobs: the disk is too full"
            );
            tokio::time::sleep(DISK_FULL).await;
        }
    }

    /// The free space of the fullest disk that jobs write to, in bytes. `None` if it is unknown.
    fn free_bytes(&self) -> Option<u64> {
        let work_dir = self.jobs.work_dir.free_bytes();
        // The engine may store images on another disk than the work directory.
        let storage = self.jobs.executor.storage_dir().map(free_bytes);
        // A disk whose free space is unknown must not keep the runner from working.
        let known = |free: io::Result<u64>| match free {
            Ok(free) => Some(free),
            Err(error) => {
                tracing::warn!(%error, "Could not read the free space of the disk");
                None
            }
        };
        [Some(work_dir), storage]
            .into_iter()
            .flatten()
            .filter_map(known)
            .min()
    }
}

//! Asks the coordinator for jobs: one poll at a time, and only while a slot is free.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use slipway_protocol::{Info, JobPayload};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::client::{Claim, Retry};
use crate::jobs::Jobs;
use crate::work_dir::free_bytes;

/// The pause after an answer that the coordinator did not hold.
const PAUSE: Duration = Duration::from_secs(3);
/// An answer that took less was not held.
const HELD: Duration = Duration::from_secs(1);
/// The pause after a refusal: somebody has to register this runner again.
const REFUSED: Duration = Duration::from_secs(60);
/// The pause while the disk is too full to begin anything.
const FULL: Duration = Duration::from_secs(15);

/// What was claimed.
pub enum Claimed {
    /// A job to run.
    Job(Box<JobPayload>),
    /// A job that cannot be read.
    Unreadable(i64),
}

/// Claims jobs for the free slots.
pub struct Poller {
    jobs: Arc<Jobs>,
    info: Info,
    slots: Arc<Semaphore>,
    free_floor: u64,
    last_update: Option<String>,
    backoff: Backoff,
}

impl Poller {
    /// A poller with `slots` slots that does not claim while less than `free_floor` bytes are free.
    pub fn new(jobs: Arc<Jobs>, info: Info, slots: usize, free_floor: u64) -> Self {
        Self {
            jobs,
            info,
            slots: Arc::new(Semaphore::new(slots)),
            free_floor,
            last_update: None,
            backoff: Backoff::up_to(REFUSED),
        }
    }

    /// Waits for a free slot, and then for a job. Dropping this is safe but for a job whose
    /// answer is on its way: its lease lapses, and it is retried.
    pub async fn next(&mut self) -> Option<(Claimed, OwnedSemaphorePermit)> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        loop {
            self.wait_for_space().await;
            let asked = Instant::now();
            let sent = self.last_update.clone();
            let claim = self
                .jobs
                .coordinator
                .claim(&self.jobs.token, &self.info, sent);
            match claim.await {
                Claim::Job(job) => {
                    self.backoff = Backoff::up_to(REFUSED);
                    return Some((Claimed::Job(job), slot));
                }
                Claim::Unreadable { id } => return Some((Claimed::Unreadable(id), slot)),
                Claim::Nothing { last_update } => {
                    self.backoff = Backoff::up_to(REFUSED);
                    let has_changed = last_update.is_some() && last_update != self.last_update;
                    self.last_update = last_update;
                    if !has_changed && asked.elapsed() < HELD {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                Claim::Forbidden => {
                    tracing::error!("The coordinator does not know this runner; register it again");
                    tokio::time::sleep(REFUSED).await;
                }
                Claim::Retry(retry) => self.wait(retry).await,
            }
        }
    }

    async fn wait(&mut self, retry: Retry) {
        let pause = self.backoff.after_failure(retry.after);
        tracing::warn!(
            pause_ms = pause.as_millis(),
            "No poll of the coordinator: {}",
            retry.why
        );
        tokio::time::sleep(pause).await;
    }

    async fn wait_for_space(&self) {
        let is_enough = || self.free().is_none_or(|free| free >= self.free_floor);
        loop {
            if is_enough() {
                return;
            }
            self.jobs.executor.make_room(&is_enough).await;
            let Some(free) = self.free().filter(|free| *free < self.free_floor) else {
                return;
            };
            tracing::warn!(
                free_bytes = free,
                floor_bytes = self.free_floor,
                "No job is claimed: the disk is too full"
            );
            tokio::time::sleep(FULL).await;
        }
    }

    /// The free space of the fuller one of the disks that jobs write to.
    fn free(&self) -> Option<u64> {
        let work = self.jobs.work.free_bytes();
        let store = self.jobs.executor.store().map(free_bytes);
        let known = |free: io::Result<u64>| match free {
            Ok(free) => Some(free),
            Err(error) => {
                tracing::warn!(%error, "The free space of the disk is not known");
                None
            }
        };
        [Some(work), store]
            .into_iter()
            .flatten()
            .filter_map(known)
            .min()
    }
}

//! Claims jobs from the coordinator: one poll at a time, and only while a slot is free.

use std::sync::Arc;
use std::time::Duration;

use slipway_domain::ClaimRequestId;
use slipway_protocol::{Info, JobPayload};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::backoff::RequestBackoff;
use crate::client::{ClaimAnswer, Retry};
use crate::health::Health;
use crate::jobs::JobRunner;
use crate::readiness::Readiness;

/// The delay after an answer that the coordinator gave without holding the poll.
const POLL_INTERVAL: Duration = Duration::from_secs(3);
/// The coordinator did not hold a poll that took less than this.
const HELD: Duration = Duration::from_secs(1);
/// The delay after the coordinator rejected the token: somebody has to register the runner again.
const REJECTED: Duration = Duration::from_secs(60);

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
    readiness: Readiness,
    health: Health,
    last_update: Option<String>,
    /// The id of the request for the next job. It stays the same until a job arrives, so that a job
    /// whose answer was lost arrives with the next poll.
    request: ClaimRequestId,
    backoff: RequestBackoff,
}

fn new_request() -> ClaimRequestId {
    ClaimRequestId(uuid::Builder::from_random_bytes(rand::random()).into_uuid())
}

impl Poller {
    /// Creates a poller with `slots` slots. It claims nothing while less than `min_free_bytes` are
    /// free on the disk, or `health` shows that the host fails its jobs.
    pub fn new(
        jobs: Arc<JobRunner>,
        info: Info,
        slots: usize,
        min_free_bytes: u64,
        health: Health,
    ) -> Self {
        Self {
            readiness: Readiness::new(Arc::clone(&jobs), health.clone(), min_free_bytes),
            health,
            jobs,
            info,
            slots: Arc::new(Semaphore::new(slots)),
            last_update: None,
            request: new_request(),
            backoff: RequestBackoff::up_to(REJECTED),
        }
    }

    /// Waits for a free slot and then for a job.
    ///
    /// Dropping the future may lose the answer with a job. The next call gets the job again; if there
    /// is none, the lease of the job expires and the coordinator retries it.
    pub async fn next(&mut self) -> Option<(Claimed, OwnedSemaphorePermit)> {
        // A job is only claimed when it can start immediately.
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        loop {
            self.readiness.wait(&self.info).await;
            let started = Instant::now();
            let claim = self.jobs.coordinator.claim(
                &self.jobs.token,
                &self.info,
                self.last_update.clone(),
                self.request,
            );
            let open = self.health.begin_poll();
            let answer = tokio::select! {
                biased;
                answer = claim => answer,
                // The coordinator notices that the request is gone and assigns it no job. If it has
                // assigned one already, the next poll gets it.
                () = self.readiness.lost() => continue,
            };
            drop(open);
            match answer {
                ClaimAnswer::Job(job) => {
                    self.backoff.reset();
                    self.request = new_request();
                    return Some((Claimed::Job(job), slot));
                }
                ClaimAnswer::Unreadable { id } => {
                    self.request = new_request();
                    return Some((Claimed::Unreadable(id), slot));
                }
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
}

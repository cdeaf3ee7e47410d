//! Renews the lease of a job with heartbeats, and stops the job when the coordinator ended it.
//!
//! Heartbeats do not depend on output. The coordinator holds each one until the job's state
//! changes or a few seconds pass, so a cancel arrives without delay. While the coordinator is
//! unreachable, the job and its heartbeats continue.

use std::time::Duration;

use slipway_domain::RunnerToken;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::RequestBackoff;
use crate::client::{CoordinatorClient, HeartbeatAnswer};
use crate::jobs::phases::{PhaseReport, Phases};
use crate::jobs::stop::{Stop, StopCause};

/// The longest time that a heartbeat asks to be held.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// The shortest time between two heartbeats, even if the coordinator does not hold them.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The heartbeats of one job.
pub struct Heartbeat<'a> {
    pub coordinator: &'a CoordinatorClient,
    pub token: &'a RunnerToken,
    /// The job's id.
    pub job: i64,
    /// How long each heartbeat renews the lease for.
    pub lease: Duration,
    /// The phases to report.
    pub phases: Phases,
    /// Stops the job when the coordinator ended it.
    pub stop: &'a Stop,
}

impl Heartbeat<'_> {
    /// Sends heartbeats until `until`, or until the coordinator has ended the job.
    pub async fn run(self, until: &CancellationToken) {
        tokio::select! {
            () = until.cancelled() => {}
            () = self.renew_lease() => {}
            () = self.report_phases() => {}
        }
    }

    async fn renew_lease(&self) {
        // A third of the lease: two heartbeats may get lost before it expires.
        let wait = (self.lease / 3).clamp(MIN_INTERVAL, MAX_WAIT);
        let mut backoff = RequestBackoff::up_to(wait);
        loop {
            let started = Instant::now();
            match self.send(None, Some(wait)).await {
                HeartbeatAnswer::Continue => {
                    backoff.reset();
                    tokio::time::sleep_until(started + MIN_INTERVAL).await;
                }
                HeartbeatAnswer::Ended => return self.stop_job(),
                HeartbeatAnswer::Retry(retry) => {
                    tracing::warn!(
                        "Sending a heartbeat for job {} failed; the job continues: {}",
                        self.job,
                        retry.why
                    );
                    // A longer `Retry-After` would let the lease expire.
                    let asked = retry.after.map(|after| after.min(wait));
                    tokio::time::sleep(backoff.after_failure(asked)).await;
                }
            }
        }
    }

    /// Sends each phase as soon as the job enters it, one after the other, until the coordinator
    /// has it. The heartbeats in [`renew_lease`](Self::renew_lease) are held, so phases do not wait
    /// for them.
    async fn report_phases(&self) {
        let mut backoff = RequestBackoff::up_to(MAX_WAIT);
        loop {
            let report = self.phases.next_report().await;
            match self.send(Some(&report), None).await {
                HeartbeatAnswer::Continue => {
                    backoff.reset();
                    self.phases.mark_reported();
                }
                HeartbeatAnswer::Ended => return self.stop_job(),
                // `renew_lease` fails at the same time and logs it.
                HeartbeatAnswer::Retry(retry) => {
                    let asked = retry.after.map(|after| after.min(MAX_WAIT));
                    tokio::time::sleep(backoff.after_failure(asked)).await;
                }
            }
        }
    }

    async fn send(&self, report: Option<&PhaseReport>, wait: Option<Duration>) -> HeartbeatAnswer {
        self.coordinator
            .heartbeat(self.token, self.job, report, wait)
            .await
    }

    fn stop_job(&self) {
        // The coordinator answers so after a cancel, but also if the final report overtook the
        // answer to a heartbeat. Stopping a finished job does nothing.
        tracing::info!("The coordinator has ended job {}", self.job);
        self.stop.stop(StopCause::EndedByCoordinator);
    }
}

//! Shows the coordinator that a job is worked on, and hears from it when the job is over.
//!
//! Beats do not depend on output. Each is held by the coordinator until the job's state changes
//! or a few seconds pass, so that a cancel arrives at once. A coordinator that is away changes
//! nothing: the job goes on, and so do the beats.

use std::time::Duration;

use slipway_domain::RunnerToken;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::client::{Beat, Coordinator};
use crate::jobs::phases::{News, Phases};
use crate::jobs::stop::{Stop, StopCause};

/// The longest that a beat asks to be held.
const MOST: Duration = Duration::from_secs(5);
/// Beats are never closer together, even if the coordinator does not hold them.
const LEAST: Duration = Duration::from_secs(1);

/// The heart of one job.
pub struct Heartbeat<'a> {
    /// Where to.
    pub coordinator: &'a Coordinator,
    /// The runner's token.
    pub token: &'a RunnerToken,
    /// The job's id.
    pub job: i64,
    /// How long the lease lasts after each beat.
    pub lease: Duration,
    /// What the job has come to.
    pub phases: Phases,
    /// Stops the job when it is over.
    pub stop: &'a Stop,
}

impl Heartbeat<'_> {
    /// Beats until `until`, or until the coordinator says that the job is over.
    pub async fn run(self, until: &CancellationToken) {
        tokio::select! {
            () = until.cancelled() => {}
            () = self.beats() => {}
            () = self.phase_changes() => {}
        }
    }

    async fn beats(&self) {
        let wait = (self.lease / 3).clamp(LEAST, MOST);
        let mut backoff = Backoff::up_to(wait);
        loop {
            let began = Instant::now();
            match self.beat(None, Some(wait)).await {
                Beat::GoOn => {
                    backoff = Backoff::up_to(wait);
                    tokio::time::sleep_until(began + LEAST).await;
                }
                Beat::Over => return self.over(),
                Beat::Retry(retry) => {
                    tracing::warn!(
                        job.id = self.job,
                        "Job {} goes on without the coordinator: {}",
                        self.job,
                        retry.why
                    );
                    let pause = backoff.after_failure(retry.after.map(|after| after.min(wait)));
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Tells each phase at once, one after the other, until it is heard.
    async fn phase_changes(&self) {
        let mut backoff = Backoff::up_to(MOST);
        loop {
            let news = self.phases.next().await;
            match self.beat(Some(&news), None).await {
                Beat::GoOn => {
                    backoff = Backoff::up_to(MOST);
                    self.phases.told();
                }
                Beat::Over => return self.over(),
                // The beats tell of it.
                Beat::Retry(retry) => {
                    let pause = backoff.after_failure(retry.after.map(|after| after.min(MOST)));
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn beat(&self, news: Option<&News>, wait: Option<Duration>) -> Beat {
        self.coordinator
            .beat(self.token, self.job, news, wait)
            .await
    }

    fn over(&self) {
        // So it is after a cancel, and as well when our last report overtook the answer to a beat.
        tracing::info!(
            job.id = self.job,
            "The coordinator is done with job {}",
            self.job
        );
        self.stop.stop(StopCause::Taken);
    }
}

//! The final report of a job, and sending it until the coordinator takes it.

use std::time::Duration;

use slipway_domain::RunnerToken;
use slipway_protocol::{ImageResult, TraceSum, UpdateRequest};
use tokio_util::sync::CancellationToken;

use crate::backoff::RequestBackoff;
use crate::client::{CoordinatorClient, ReportAnswer};
use crate::executor::Failure;
use crate::jobs::stop::{Stop, StopCause};
use crate::traces::sender::{Delivery, TraceSender};

/// How long an executor may take to stop before it is dropped.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long reports are still retried once the runner is stopping.
const REPORT_GRACE: Duration = Duration::from_secs(10);

/// Sends final reports to the coordinator.
pub(super) struct Reporter<'a> {
    pub(super) coordinator: &'a CoordinatorClient,
    pub(super) token: &'a RunnerToken,
    /// Stops all jobs of this runner.
    pub(super) stop_all: &'a CancellationToken,
}

/// The trace that belongs to a final report.
pub(super) struct ReportedTrace<'a, 'b> {
    pub(super) sender: &'a mut TraceSender<'b>,
    pub(super) delivery: Delivery,
    /// Stops the job; there is nothing to report once the coordinator has ended it.
    pub(super) stop: &'a Stop,
}

impl Reporter<'_> {
    /// Sends a report with the trace that belongs to it. Returns whether the coordinator took it.
    pub(super) async fn send_with_trace(
        &self,
        job: i64,
        update: UpdateRequest,
        trace: ReportedTrace<'_, '_>,
    ) -> bool {
        self.send(job, update, Some(trace)).await
    }

    /// Sends a report on a job that never ran, or whose trace does not matter any more.
    pub(super) async fn send_without_trace(&self, job: i64, update: UpdateRequest) -> bool {
        self.send(job, update, None).await
    }

    async fn send(
        &self,
        job: i64,
        update: UpdateRequest,
        mut trace: Option<ReportedTrace<'_, '_>>,
    ) -> bool {
        let mut backoff = RequestBackoff::new();
        let sending = async {
            loop {
                if let Some(trace) = &trace {
                    if trace.stop.cause() == Some(StopCause::EndedByCoordinator) {
                        break;
                    }
                    if trace.delivery == Delivery::Refused {
                        tracing::warn!("The coordinator did not take the whole trace of job {job}");
                    }
                }
                let answer = self
                    .coordinator
                    .finish(self.token, job, update.clone())
                    .await;
                let retry_after = match (answer, &mut trace) {
                    (ReportAnswer::Taken, _) => break,
                    // Nothing can be missing from an empty trace.
                    (ReportAnswer::TraceIncomplete { .. }, None) => break,
                    // The coordinator lost bytes that it had acknowledged, or never got them.
                    (ReportAnswer::TraceIncomplete { length }, Some(trace)) => {
                        trace.sender.resume_from(length);
                        trace.delivery = trace.sender.run(trace.stop).await;
                        None
                    }
                    (ReportAnswer::Retry(retry), _) => {
                        tracing::warn!(
                            "Reporting the result of job {job} failed and is retried: {}",
                            retry.why
                        );
                        retry.after
                    }
                };
                tokio::time::sleep(backoff.after_failure(retry_after)).await;
            }
        };
        // No limit otherwise: an unreported job would run a second time.
        let is_taken = self.unless_stopping(sending).await.is_some();
        if !is_taken {
            tracing::error!("Gave up reporting the result of job {job}: the runner is stopping");
        }
        is_taken
    }

    /// Waits for `work` without a limit. If the runner is stopping, waits a little longer and
    /// returns `None`.
    pub(super) async fn unless_stopping<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = async {
                self.stop_all.cancelled().await;
                // The executor gets its time to stop first; there is nothing to report before.
                tokio::time::sleep(STOP_GRACE + REPORT_GRACE).await;
            } => None,
        }
    }
}

/// The final report for this outcome of a job.
pub(super) fn report_of(
    outcome: &Result<Option<ImageResult>, Failure>,
    sum: TraceSum,
) -> UpdateRequest {
    let base = UpdateRequest {
        trace_sum: Some(sum),
        ..UpdateRequest::default()
    };
    match outcome {
        Ok(image) => UpdateRequest {
            state: Some("success".to_owned()),
            image: image.clone(),
            ..base
        },
        Err(failure) => UpdateRequest {
            state: Some("failed".to_owned()),
            failure_reason: Some(failure.reason.as_str().to_owned()),
            failure_message: Some(failure.message.clone()),
            ..base
        },
    }
}

/// The sum of a trace in which nothing was written.
pub(super) fn empty_sum() -> TraceSum {
    TraceSum {
        length: 0,
        crc32: 0,
    }
}

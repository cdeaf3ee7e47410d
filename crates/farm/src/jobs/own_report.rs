//! Reports of runners that authenticate with the token of their job alone (protocol v4).
//!
//! A canceled job is canceled for everybody at once. A runner that announced graceful cancellation
//! when it claimed the job may finish in its own way: until it reports the end or falls silent, the
//! farm accepts what it sends.

use slipway_domain::{FailureReason, JobState, Outcome, ReportedResult};
use slipway_store::{Conn, jobs, traces};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::access::{JobAccess, JobStatus};
use crate::jobs::report::Report;
use crate::traces::append::SentTrace;

impl Farm {
    /// Applies a report on a job that its runner has, and returns the state of the job afterwards.
    /// A runner may repeat its final report.
    ///
    /// # Errors
    /// `Refused` when the job ended in another way; `Erased`; `BadToken` when the job was taken from
    /// the runner meanwhile.
    pub async fn report_own(
        &self,
        access: &JobAccess,
        report: Report,
    ) -> Result<JobStatus, FarmError> {
        match self.report_once(access, report.clone()).await {
            // The job was canceled, or its lease renewed, since it was read: decide again by its
            // present state.
            Err(FarmError::NotFound(_) | FarmError::Refused(_) | FarmError::Conflict(_)) => {
                let access = self.reread(access).await?;
                let again = self.report_once(&access, report).await;
                again.map_err(ended_meanwhile)
            }
            answered => answered,
        }
    }

    async fn report_once(
        &self,
        access: &JobAccess,
        report: Report,
    ) -> Result<JobStatus, FarmError> {
        let job = access.job();
        self.record_runner_contact(access).await?;
        match (job.state, report.ended) {
            (JobState::Running(lease, _), None) => {
                let renewed = self.renew(lease.runner, job.id, report.phase, None).await;
                Ok(JobStatus::of(renewed?))
            }
            (JobState::Running(lease, _), Some(ended)) => {
                let state = self.take_end(lease.runner, job, ended, report.sent).await;
                Ok(JobStatus::of(state?))
            }
            (_, ended) if access.status().ending => {
                let sent = report.sent;
                self.end_canceled(access, ended.map(|_| sent)).await
            }
            (state, Some(ended)) => {
                if state == JobState::Done(Outcome::Canceled) {
                    self.record_stopped(job.id).await?;
                }
                if is_repeated(state, ended.result) {
                    Ok(JobStatus::of(state))
                } else {
                    Err(access.refused())
                }
            }
            (_, None) => Err(access.refused()),
        }
    }

    /// Notes progress or the end of a canceled job that its runner stops gracefully. The job stays
    /// canceled, whatever the runner reports.
    async fn end_canceled(
        &self,
        access: &JobAccess,
        ended: Option<SentTrace>,
    ) -> Result<JobStatus, FarmError> {
        let (job, now) = (access.job().clone(), self.now());
        let (id, state) = (job.id, job.state);
        let Some(sent) = ended else {
            let renew = move |conn: &mut Conn| jobs::renew_ending(conn, &job, now);
            self.write(renew).await?;
            return Ok(JobStatus {
                state,
                ending: true,
            });
        };
        let write = move |conn: &mut Conn| {
            // A gap does not change how the job ended; the trace is only marked as incomplete.
            if !sent.is(traces::received(conn, id)?) {
                jobs::record_trace_incomplete(conn, id)?;
            }
            Ok(())
        };
        self.write(write).await?;
        self.record_stopped(id).await?;
        Ok(JobStatus::of(state))
    }

    /// Notes contact with the runner of a job.
    pub(crate) async fn record_runner_contact(&self, access: &JobAccess) -> Result<(), FarmError> {
        match access.runner() {
            Some(runner) => self.record_contact(runner, None).await,
            None => Ok(()),
        }
    }
}

/// A job that its runner lost since the token was checked has no valid token any more.
fn ended_meanwhile(error: FarmError) -> FarmError {
    match error {
        FarmError::NotFound(_) => FarmError::BadToken,
        other => other,
    }
}

/// Whether a job is in `state` because its runner reported `result` before. No runner reports that
/// the job was lost.
fn is_repeated(state: JobState, result: ReportedResult) -> bool {
    match (state, result) {
        (JobState::Done(Outcome::Succeeded), ReportedResult::Succeeded) => true,
        (JobState::Done(Outcome::Failed(reason)), ReportedResult::Failed(_)) => {
            reason != FailureReason::RunnerLost
        }
        _ => false,
    }
}

//! What runners do that prove who they are by the token of their job alone.
//!
//! A job that somebody called off is over for everybody. Its runner, if that said so when it took the
//! job, ends it in its own way: until it says that it has, or falls silent, what it sends is taken.

use bytes::Bytes;
use slipway_domain::{
    Event, FailureReason, InvalidTransition, JobId, JobState, JobToken, Outcome, ReportedResult,
    RunnerId,
};
use slipway_store::artifacts::{self, Artifact, Content};
use slipway_store::jobs::{self, Job};
use slipway_store::runners::{self, Runner};
use slipway_store::{Conn, queue, traces};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::report::Report;
use crate::traces::append::SentTrace;

/// Where a job is, as its runner is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobStatus {
    /// Its state.
    pub state: JobState,
    /// Whether it is canceled, and its runner is ending it in its own way.
    pub ending: bool,
}

impl JobStatus {
    fn of(state: JobState) -> Self {
        Self {
            state,
            ending: false,
        }
    }
}

impl Farm {
    /// Where the job stands whose token `token` is.
    ///
    /// # Errors
    /// `BadToken` for any other, and for a job that there is not; `Erased`.
    pub async fn standing(&self, id: JobId, token: &JobToken) -> Result<JobStatus, FarmError> {
        let job = self.own_job(id, token).await?;
        self.standing_of(&job).await
    }

    async fn standing_of(&self, job: &Job) -> Result<JobStatus, FarmError> {
        let (seen, now) = (job.clone(), self.now());
        let look = move |conn: &mut Conn| jobs::is_ending(conn, &seen, now);
        Ok(JobStatus {
            state: job.state,
            ending: self.read(look).await?,
        })
    }

    /// The job whose own token `token` is.
    async fn own_job(&self, id: JobId, token: &JobToken) -> Result<Job, FarmError> {
        if self.job_token(id).hash() != token.hash() {
            return Err(FarmError::BadToken);
        }
        let found = self.read(move |conn| jobs::get(conn, id)).await;
        let job = found.map_err(|error| match error {
            FarmError::NotFound(_) => FarmError::BadToken,
            other => other,
        })?;
        match job.erased_at {
            Some(_) => Err(FarmError::Erased),
            None => Ok(job),
        }
    }

    /// The same, as long as its runner has it.
    ///
    /// # Errors
    /// `Refused` when that is over, besides those of [`Farm::standing`].
    pub async fn active_job_access(&self, id: JobId, token: &JobToken) -> Result<Job, FarmError> {
        let job = self.own_job(id, token).await?;
        if job.state.is_running() || self.standing_of(&job).await?.ending {
            return Ok(job);
        }
        Err(self.over(&job))
    }

    /// Why a job takes nothing from its runner any more.
    fn over(&self, job: &Job) -> FarmError {
        FarmError::Refused(InvalidTransition {
            from: job.state,
            event: Event::CheckLease { now: self.now() },
        })
    }

    /// Appends bytes that begin at `start` to the trace of a job that its runner has. What is beyond
    /// the limit of a trace is thrown away and counted, as runners give a job up that is refused.
    ///
    /// # Errors
    /// `TraceGap` when `start` is not where the trace ends, and those of [`Farm::active_job_access`].
    pub async fn append_own_trace(
        &self,
        id: JobId,
        token: &JobToken,
        start: u64,
        mut bytes: Bytes,
    ) -> Result<(u64, JobStatus), FarmError> {
        let job = self.active_job_access(id, token).await?;
        self.note_runner_of(&job).await?;
        let held = self.read(move |conn| traces::extent(conn, id)).await?;
        let said_end = start + bytes.len() as u64;
        let room = self
            .inner
            .settings
            .max_trace_bytes
            .saturating_sub(held.length);
        let is_full = room == 0 && start > held.length;
        if start != held.length && !is_full {
            return Err(FarmError::TraceGap { held: held.length });
        }
        bytes.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        let appended = self.append_at(id, held, bytes).await?;
        let standing = JobStatus {
            state: appended.state,
            ending: appended.ending,
        };
        Ok((said_end, standing))
    }

    /// Takes a report on a job that its runner has, and says where the job stands afterwards. An end
    /// that was told before may be told again.
    ///
    /// # Errors
    /// `Refused` when the job is over in another way, and those of [`Farm::standing`].
    pub async fn report_own(
        &self,
        id: JobId,
        token: &JobToken,
        report: Report,
    ) -> Result<JobStatus, FarmError> {
        match self.report_once(id, token, report.clone()).await {
            // It was called off, or renewed, while the report was looked at: as it is now.
            Err(FarmError::NotFound(_) | FarmError::Refused(_) | FarmError::Conflict(_)) => {
                let again = self.report_once(id, token, report).await;
                again.map_err(ended_meanwhile)
            }
            answered => answered,
        }
    }

    async fn report_once(
        &self,
        id: JobId,
        token: &JobToken,
        report: Report,
    ) -> Result<JobStatus, FarmError> {
        let job = self.own_job(id, token).await?;
        self.note_runner_of(&job).await?;
        match (job.state, report.ended) {
            (JobState::Running(lease, _), None) => {
                let runner = self.runner_with(lease.runner).await?;
                let renewed = self.renew(&runner, id, report.phase, None).await;
                Ok(JobStatus::of(renewed?))
            }
            (JobState::Running(lease, _), Some(ended)) => {
                let runner = self.runner_with(lease.runner).await?;
                let state = self.take_end(&runner, &job, ended, report.sent).await;
                Ok(JobStatus::of(state?))
            }
            (_, ended) if self.standing_of(&job).await?.ending => {
                let sent = report.sent;
                self.end_canceled(job, ended.map(|_| sent)).await
            }
            (state, Some(ended)) => {
                if state == JobState::Done(Outcome::Canceled) {
                    self.record_stopped(id).await?;
                }
                match is_told(state, ended.result) {
                    true => Ok(JobStatus::of(state)),
                    false => Err(self.over(&job)),
                }
            }
            (_, None) => Err(self.over(&job)),
        }
    }

    /// Hears of a canceled job that its runner is ending, or has ended: however it did, the job
    /// stays canceled.
    async fn end_canceled(
        &self,
        job: Job,
        ended: Option<SentTrace>,
    ) -> Result<JobStatus, FarmError> {
        let (id, state, now) = (job.id, job.state, self.now());
        let Some(sent) = ended else {
            let renew = move |conn: &mut Conn| jobs::renew_ending(conn, &job, now);
            self.write(renew).await?;
            return Ok(JobStatus {
                state,
                ending: true,
            });
        };
        let write = move |conn: &mut Conn| {
            if !sent.is(traces::extent(conn, id)?) {
                jobs::record_trace_incomplete(conn, id)?;
            }
            Ok(())
        };
        self.write(write).await?;
        self.record_stopped(id).await?;
        Ok(JobStatus::of(state))
    }

    /// Notes that the runner of a job was heard of.
    async fn note_runner_of(&self, job: &Job) -> Result<(), FarmError> {
        let Some(runner) = job.runner else {
            return Ok(());
        };
        let runner = self.runner_with(runner).await?;
        self.record_contact(&runner, None).await
    }

    async fn runner_with(&self, id: RunnerId) -> Result<Runner, FarmError> {
        let read = move |conn: &mut Conn| runners::get(conn, id);
        self.read(read).await
    }

    /// The archive of a job, for the job itself and for running jobs that need it.
    ///
    /// # Errors
    /// `NotFound` when the job has none, `BadToken` for everybody else, `Erased`.
    pub async fn archive_for_need(
        &self,
        id: JobId,
        token: &JobToken,
    ) -> Result<Artifact, FarmError> {
        let given = token.hash();
        let is_own = self.job_token(id).hash() == given || self.archive_token(id).hash() == given;
        let look = move |conn: &mut Conn| {
            let job = jobs::get(conn, id)?;
            Ok((
                job,
                jobs::dependents(conn, id)?,
                artifacts::of_job(conn, id)?,
            ))
        };
        let found = self.read(look).await;
        let (job, dependents, made) = found.map_err(|error| match error {
            FarmError::NotFound(_) => FarmError::BadToken,
            other => other,
        })?;
        let needs_it =
            |other: &Job| other.state.is_running() && self.job_token(other.id).hash() == given;
        if !is_own && !dependents.iter().any(needs_it) {
            return Err(FarmError::BadToken);
        }
        if job.erased_at.is_some() {
            return Err(FarmError::Erased);
        }
        let now = self.now();
        let archive = made.into_iter().find(|artifact| {
            matches!(artifact.content, Content::Archive { .. })
                && artifact.expires_at.is_none_or(|at| at > now)
        });
        archive.ok_or(FarmError::NotFound("archive"))
    }

    /// How many jobs of a project are running.
    pub async fn running_jobs(&self, project: slipway_domain::ProjectId) -> Result<u32, FarmError> {
        let count = move |conn: &mut Conn| queue::running(conn, project);
        self.read(count).await
    }
}

/// A job that is not with its runner any more is nobody's whose token could be good.
fn ended_meanwhile(error: FarmError) -> FarmError {
    match error {
        FarmError::NotFound(_) => FarmError::BadToken,
        other => other,
    }
}

/// Whether a job is in `state` as its runner told `result` before. That it was lost no runner tells.
fn is_told(state: JobState, result: ReportedResult) -> bool {
    match (state, result) {
        (JobState::Done(Outcome::Succeeded), ReportedResult::Succeeded) => true,
        (JobState::Done(Outcome::Failed(reason)), ReportedResult::Failed(_)) => {
            reason != FailureReason::RunnerLost
        }
        _ => false,
    }
}

//! Job tokens: which job a caller may report on, and proof of the check.
//!
//! There are two rules. Protocol v1 accepts the token of the job and the runners token of its
//! project; protocol v4 accepts the token of the job alone and does not reveal whether a job exists.
//!
//! A token changes a job only while it runs. After that, it reads for a limited time.

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::{Event, FailureReason, InvalidTransition, JobId, JobState, JobToken, Outcome};
use slipway_store::jobs::{self, Job};
use slipway_store::runners::{self, Runner};
use slipway_store::traces::{self, StoredTrace};
use slipway_store::{Conn, StoreError, projects};

use crate::error::FarmError;
use crate::farm::Farm;

/// For how long after the end of a job its token, and that of its archive, still read what they could
/// read before. Jobs that need the archive can read it for as long as they run.
const READABLE_AFTER_END: TimeDelta = TimeDelta::hours(1);
/// For how long after the farm ended a job its runner, which does not know it yet, may send more of
/// the trace.
const APPENDABLE_AFTER_END: TimeDelta = TimeDelta::minutes(5);

/// Whether the tokens of something that ended at `finished_at`, if it did, can still read.
pub(crate) fn is_still_readable(finished_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    ended_within(finished_at, READABLE_AFTER_END, now)
}

fn ended_within(finished_at: Option<DateTime<Utc>>, limit: TimeDelta, now: DateTime<Utc>) -> bool {
    finished_at.is_none_or(|at| now - at < limit)
}

/// Whether the farm or a user ended the job, so that its runner learns of it later.
fn ended_without_its_runner(state: JobState) -> bool {
    matches!(
        state,
        JobState::Done(
            Outcome::Canceled
                | Outcome::Failed(FailureReason::RunnerLost | FailureReason::TimedOut)
        )
    )
}

/// Why an upload to a job that no runner works on is refused.
pub(crate) const NOT_RUNNING: &str = "the job is not running";

/// The state of a job as its runner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobStatus {
    pub state: JobState,
    /// Whether the job is canceled and its runner is still stopping it gracefully.
    pub ending: bool,
}

impl JobStatus {
    pub(crate) fn of(state: JobState) -> Self {
        Self {
            state,
            ending: false,
        }
    }
}

/// Proof that the caller holds a token of this job; only the token checks below make one.
///
/// It carries the job as the check read it, so that use cases need not read it again. The job may
/// change afterwards, so every write looks at it again in its own transaction.
#[derive(Clone, Debug)]
pub struct JobAccess {
    job: Job,
    trace: StoredTrace,
    stopping: bool,
    /// The runner that has or had the job; protocol v4 notes contact with it.
    runner: Option<Runner>,
    checked_at: DateTime<Utc>,
}

impl JobAccess {
    /// Reads what the checks and the use cases behind them need, in one go.
    fn read(conn: &mut Conn, id: JobId, now: DateTime<Utc>) -> Result<Self, StoreError> {
        let job = jobs::get(conn, id)?;
        Ok(Self {
            trace: traces::stored(conn, id)?,
            stopping: jobs::is_ending(conn, &job, now)?,
            runner: None,
            checked_at: now,
            job,
        })
    }

    pub fn id(&self) -> JobId {
        self.job.id
    }

    /// The job as the check read it.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// The state of the job when the check read it.
    pub fn status(&self) -> JobStatus {
        JobStatus {
            state: self.job.state,
            ending: self.stopping,
        }
    }

    /// The trace as it was stored when the check read the job.
    pub(crate) fn trace(&self) -> &StoredTrace {
        &self.trace
    }

    pub(crate) fn runner(&self) -> Option<&Runner> {
        self.runner.as_ref()
    }

    /// The error for a runner that sends something for a job it no longer has.
    pub(crate) fn refused(&self) -> FarmError {
        FarmError::Refused(InvalidTransition {
            from: self.job.state,
            event: Event::CheckLease {
                now: self.checked_at,
            },
        })
    }

    /// Checks that the trace of the job may still grow. After its runner has reported the end, it may
    /// not: the whole trace is stored then.
    ///
    /// # Errors
    /// `Forbidden`.
    pub(crate) fn require_growing_trace(&self) -> Result<(), FarmError> {
        let job = &self.job;
        let is_late = ended_without_its_runner(job.state)
            && ended_within(job.finished_at, APPENDABLE_AFTER_END, self.checked_at);
        if job.state.is_running() || self.stopping || is_late {
            return Ok(());
        }
        Err(FarmError::Forbidden(NOT_RUNNING))
    }

    fn unless_erased(self) -> Result<Self, FarmError> {
        if self.job.erased_at.is_some() {
            return Err(FarmError::Erased);
        }
        Ok(self)
    }
}

impl Farm {
    /// Checks a token by the rule of protocol v1: the token of the job, or the runners token of its
    /// project, which runners used before jobs had tokens.
    ///
    /// # Errors
    /// `NotFound` when there is no such job, `Forbidden` for any other token, `Erased`.
    pub async fn job_access(&self, id: JobId, token: &JobToken) -> Result<JobAccess, FarmError> {
        let now = self.now();
        let access = self
            .read(move |conn| JobAccess::read(conn, id, now))
            .await?;
        let given = token.hash();
        // Hashes are compared, so that the time reveals nothing useful about the token.
        let is_own = self.job_token(&access.job).hash() == given;
        if !is_own {
            let project = access.job.project;
            let project = self.read(move |conn| projects::get(conn, project)).await?;
            if self.project_runners_token(&project).hash() != given {
                return Err(FarmError::Forbidden("the token is not this job's"));
            }
        }
        access.unless_erased()
    }

    /// [`Farm::job_access`] to a job that is running, for uploads.
    ///
    /// # Errors
    /// `Conflict` when the job is not running, and those of [`Farm::job_access`].
    pub async fn running_job_access(
        &self,
        id: JobId,
        token: &JobToken,
    ) -> Result<JobAccess, FarmError> {
        let access = self.job_access(id, token).await?;
        if access.job.state.is_running() {
            Ok(access)
        } else {
            Err(FarmError::Conflict(NOT_RUNNING.to_owned()))
        }
    }

    /// Checks a token by the rule of protocol v4: the token of the job alone.
    ///
    /// # Errors
    /// `BadToken` for any other token and when there is no such job; `Erased`.
    pub async fn own_job_access(
        &self,
        id: JobId,
        token: &JobToken,
    ) -> Result<JobAccess, FarmError> {
        let access = self.read_own_job(id).await?;
        if self.job_token(&access.job).hash() != token.hash() {
            return Err(FarmError::BadToken);
        }
        access.unless_erased()
    }

    /// Reads a job again for a caller whose token was checked before.
    pub(crate) async fn reread(&self, access: &JobAccess) -> Result<JobAccess, FarmError> {
        self.read_own_job(access.id()).await?.unless_erased()
    }

    async fn read_own_job(&self, id: JobId) -> Result<JobAccess, FarmError> {
        let now = self.now();
        let read = move |conn: &mut Conn| {
            let mut access = JobAccess::read(conn, id, now)?;
            if let Some(runner) = access.job.runner {
                // Read here and not by each use case, so that a chunk costs one read in all.
                access.runner = Some(runners::get(conn, runner)?);
            }
            Ok(access)
        };
        self.read(read).await.map_err(|error| match error {
            // Whether a job exists is nothing to tell somebody who does not hold its token.
            FarmError::NotFound(_) => FarmError::BadToken,
            other => other,
        })
    }

    /// [`Farm::own_job_access`] to a job that its runner still has: it is running, or canceled and
    /// being stopped gracefully.
    ///
    /// # Errors
    /// `Refused` when the runner no longer has the job, and those of [`Farm::own_job_access`].
    pub async fn active_job_access(
        &self,
        id: JobId,
        token: &JobToken,
    ) -> Result<JobAccess, FarmError> {
        let access = self.own_job_access(id, token).await?;
        if access.job.state.is_running() || access.stopping {
            return Ok(access);
        }
        Err(access.refused())
    }
}

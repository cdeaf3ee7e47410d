//! How a job ends in the database: its state, the next attempt, and what follows in its build.

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::{Event, FailureReason, JobId, JobState, Outcome};
use slipway_store::jobs::{self, Changes, Job};
use slipway_store::retries::{self, Cause};
use slipway_store::{Conn, StoreError, settle};

use crate::farm::Farm;

/// How long a runner that lost a job is passed over for the next attempt, in leases.
const AVOID_LEASES: i32 = 4;

/// How the farm deals with a job that ended through no fault of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    pub(crate) max_attempts: i32,
    pub(crate) avoid_for: TimeDelta,
    /// How long what follows from its end waits for a runner that built the project lately.
    pub(crate) warm_wait: TimeDelta,
}

impl Farm {
    pub(crate) fn retry_policy(&self) -> RetryPolicy {
        let lease = TimeDelta::from_std(self.inner.settings.lease).unwrap_or(TimeDelta::MAX);
        RetryPolicy {
            max_attempts: self.inner.settings.max_attempts,
            avoid_for: lease * AVOID_LEASES,
            warm_wait: self.warm_wait(),
        }
    }

    /// How long a job waits at the most for a busy runner that built its project lately.
    pub(crate) fn warm_wait(&self) -> TimeDelta {
        TimeDelta::from_std(self.inner.settings.warm_wait).unwrap_or(TimeDelta::MAX)
    }
}

/// Whether the farm was to blame, so that another attempt may well succeed where `job` failed.
fn is_farms_fault(job: &Job, reason: FailureReason) -> bool {
    match job.spec.package() {
        Some(_) => reason.is_infrastructure_for_packages(),
        None => reason.is_infrastructure(),
    }
}

/// Why `job`, which failed, is tried again by itself; `None` when it is not.
fn cause_of_retry(
    conn: &mut Conn,
    job: &Job,
    reason: FailureReason,
    policy: RetryPolicy,
    now: DateTime<Utc>,
) -> Result<Option<Cause>, StoreError> {
    if is_farms_fault(job, reason) && job.attempt < policy.max_attempts {
        let avoid = job.runner.map(|runner| (runner, now + policy.avoid_for));
        return Ok(Some(Cause::Farm { avoid }));
    }
    let rules = jobs::details_of(conn, job.id)?.retry;
    let again = rules.is_some_and(|rules| rules.allows(job.attempt, reason));
    Ok(again.then_some(Cause::Farm { avoid: None }))
}

/// Ends a job, makes the next attempt if the farm is to blame or its rules ask for one, and carries
/// the end through its build.
pub(crate) fn finish(
    conn: &mut Conn,
    id: JobId,
    event: Event,
    message: Option<&str>,
    policy: RetryPolicy,
    now: DateTime<Utc>,
) -> Result<(JobState, Changes), StoreError> {
    let (state, mut changes) = jobs::apply(conn, id, event, message, now)?;
    if let JobState::Done(Outcome::Failed(reason)) = state {
        let job = jobs::get(conn, id)?;
        if let Some(cause) = cause_of_retry(conn, &job, reason, policy, now)? {
            let (next, more) = retries::retry_job(conn, id, cause, policy.warm_wait, now)?;
            tracing::warn!(job.id = %id, next.id = %next.id, "Job {id} failed as {reason} and is tried again as {}", next.id);
            changes.extend(more);
        }
    }
    if state.is_done() {
        changes.extend(settle::settle_job(conn, id, policy.warm_wait, now)?);
    }
    Ok((state, changes))
}

/// Ends jobs of one build together: each by the event itself, and none because of another.
pub(crate) fn end_together(
    conn: &mut Conn,
    jobs: &[Job],
    event: Event,
    message: Option<&str>,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    for job in jobs {
        changes.extend(jobs::apply(conn, job.id, event, message, now)?.1);
    }
    for job in jobs {
        changes.extend(settle::settle_job(conn, job.id, warm_wait, now)?);
    }
    Ok(changes)
}

//! How a job ends in the database: its state, its next attempt, and what follows in its build.

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::queue::has_alternative;
use slipway_domain::{Event, FailureReason, JobId, JobState, Outcome, RunnerId};
use slipway_store::jobs::{self, Changes, Job};
use slipway_store::retries::{self, Cause};
use slipway_store::{Conn, StoreError, queue, settle};

use crate::farm::Farm;
use crate::queue::explain;

/// For how many leases a runner that lost a job does not get the next attempt, if another runner
/// could take it.
const AVOID_LEASES: i32 = 4;

/// When and how the farm retries a job that failed through no fault of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    pub(crate) max_attempts: i32,
    /// For how long the runner that lost a job does not get the next attempt.
    pub(crate) avoid_for: TimeDelta,
    /// For how long the jobs that follow are reserved for a warm runner.
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

    /// For how long a pending job is reserved at most for a busy runner that built its project
    /// lately.
    pub(crate) fn warm_wait(&self) -> TimeDelta {
        TimeDelta::from_std(self.inner.settings.warm_wait).unwrap_or(TimeDelta::MAX)
    }
}

/// Whether the farm is to blame, so that another attempt of `job` may well succeed.
fn is_fault_of_farm(job: &Job, reason: FailureReason) -> bool {
    match job.spec.package() {
        Some(_) => reason.is_infrastructure_for_packages(),
        None => reason.is_infrastructure(),
    }
}

/// Why the farm retries `job`, which failed; `None` when it does not.
fn automatic_retry(
    conn: &mut Conn,
    job: &Job,
    reason: FailureReason,
    policy: RetryPolicy,
    now: DateTime<Utc>,
) -> Result<Option<Cause>, StoreError> {
    if is_fault_of_farm(job, reason) && job.attempt < policy.max_attempts {
        let avoid = match job.runner {
            Some(runner) if has_other_runner(conn, job, runner, now)? => {
                Some((runner, now + policy.avoid_for))
            }
            // The next attempt would wait for nothing.
            _ => None,
        };
        return Ok(Some(Cause::Farm { avoid }));
    }
    // Retries by the job's own rules are not the runner's fault, so it is not avoided.
    let rules = jobs::details_of(conn, job.id)?.retry;
    let again = rules.is_some_and(|rules| rules.allows(job.attempt, reason));
    Ok(again.then_some(Cause::Farm { avoid: None }))
}

/// Whether a runner other than `failed` could take the next attempt of a job.
fn has_other_runner(
    conn: &mut Conn,
    job: &Job,
    failed: RunnerId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let (requirement, policy) = queue::requirement(conn, job.queue_key)?;
    let views = explain::views(conn, now)?;
    Ok(has_alternative(&requirement, policy, failed, &views))
}

/// Ends a job, creates its next attempt if it is retried automatically, and settles its build.
pub(crate) fn finish(
    conn: &mut Conn,
    id: JobId,
    event: Event,
    message: Option<&str>,
    policy: RetryPolicy,
    now: DateTime<Utc>,
) -> Result<(JobState, Changes), StoreError> {
    let (state, mut changes) = jobs::apply(conn, id, event, message, now)?;
    // The retry comes before settling: jobs that need this one must find its next attempt, or they
    // would be skipped.
    if let JobState::Done(Outcome::Failed(reason)) = state {
        let job = jobs::get(conn, id)?;
        if let Some(cause) = automatic_retry(conn, &job, reason, policy, now)? {
            let (next, more) = retries::retry_job(conn, id, cause, policy.warm_wait, now)?;
            tracing::warn!(
                job.id = %id, next.id = %next.id,
                "Job {id} failed ({reason}) and is retried as job {}", next.id
            );
            changes.extend(more);
        }
    }
    if state.is_done() {
        changes.extend(settle::settle_job(conn, id, policy.warm_wait, now)?);
    }
    Ok((state, changes))
}

/// Ends jobs of one build together: each by the event, and none as a consequence of another.
pub(crate) fn end_together(
    conn: &mut Conn,
    jobs: &[Job],
    event: Event,
    message: Option<&str>,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    // All jobs end before any is settled; otherwise settling one would skip those that need it.
    for job in jobs {
        changes.extend(jobs::apply(conn, job.id, event, message, now)?.1);
    }
    for job in jobs {
        changes.extend(settle::settle_job(conn, job.id, warm_wait, now)?);
    }
    Ok(changes)
}

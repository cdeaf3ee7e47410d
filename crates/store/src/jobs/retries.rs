//! New attempts. A retry creates new rows that point at the retried ones; no row is overwritten.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::{BuildId, FailureReason, JobId, JobState, Outcome, RunnerId, UserId, When};

use crate::builds::queries as builds;
use crate::builds::uploads;
use crate::engine::connection::Conn;
use crate::engine::locks;
use crate::error::StoreError;
use crate::jobs::changes::Changes;
use crate::jobs::create::{NewJob, Retried, insert};
use crate::jobs::details::{Details, details_of};
use crate::jobs::needs::{dependents, needs};
use crate::jobs::queries as jobs;
use crate::jobs::row::Job;
use crate::queue::reservations;
use crate::schema::{job_needs, jobs as job_table};
use crate::settle::reopen;

/// Why there is another attempt.
#[derive(Clone, Copy, Debug)]
pub enum Cause {
    /// A user requested it.
    Person(UserId),
    /// The farm caused the failure of the previous attempt.
    Farm {
        /// The runner that lost the previous attempt, and until when it does not get the new one.
        avoid: Option<(RunnerId, DateTime<Utc>)>,
    },
}

/// Whether a job did not run because of how a job that it needs ended, or what that one left.
fn depends_on_attempt(state: JobState) -> bool {
    matches!(
        state,
        JobState::Done(Outcome::Skipped | Outcome::Failed(FailureReason::NeedMissing))
    )
}

/// Creates a new attempt of one job, and of the jobs that did not run because of it.
///
/// # Errors
/// `Conflict` if the job is unfinished, was skipped, or was already retried; `SourcesGone`.
pub fn retry_job(
    conn: &mut Conn,
    id: JobId,
    cause: Cause,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(Job, Changes), StoreError> {
    let build = jobs::get(conn, id)?.build;
    locks::lock_build(conn, build)?;
    let job = jobs::get(conn, id)?;
    match job.state {
        _ if job.superseded => return Err(StoreError::Conflict("the job was already retried")),
        JobState::Done(Outcome::Skipped) => {
            return Err(StoreError::Conflict(
                "the job was skipped: retry the job it needs",
            ));
        }
        JobState::Done(_) => {}
        _ => return Err(StoreError::Conflict("the job is unfinished")),
    }
    let mut first = job.clone();
    // A user who retries a manual job has thereby started it.
    if matches!(cause, Cause::Person(_)) {
        first.when = without_manual_start(first.when);
    }
    // Jobs that were skipped because of this one can run if the new attempt succeeds.
    let mut set = BTreeMap::from([(id, first)]);
    let mut open = vec![id];
    while let Some(next) = open.pop() {
        for dependent in dependents(conn, next)? {
            if depends_on_attempt(dependent.state) {
                open.push(dependent.id);
                set.insert(dependent.id, dependent);
            }
        }
    }
    let (created, changes) = retry_all(conn, job.build, set, cause, warm_wait, now)?;
    let new = created
        .get(&id)
        .copied()
        .ok_or(StoreError::Corrupt("retry"))?;
    Ok((jobs::get(conn, new)?, changes))
}

/// Creates new attempts of all jobs of a build that finished without success.
///
/// # Errors
/// `Conflict` if the build is unfinished, or every job succeeded; `SourcesGone`.
pub fn retry_build(
    conn: &mut Conn,
    id: BuildId,
    by: UserId,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Changes, StoreError> {
    locks::lock_build(conn, id)?;
    if !builds::get(conn, id)?.state.is_done() {
        return Err(StoreError::Conflict("the build is unfinished"));
    }
    let set: BTreeMap<JobId, Job> = jobs::of_build(conn, id)?
        .into_iter()
        .filter(|job| !job.superseded && job.state.is_done())
        .filter(|job| job.state != JobState::Done(Outcome::Succeeded))
        .map(|job| (job.id, job))
        .collect();
    // A build that failed as a whole may have no jobs to retry.
    if set.is_empty() && builds::get(conn, id)?.submission.error.is_some() {
        return Err(StoreError::Conflict(
            "the build has no jobs; create another build",
        ));
    }
    if set.is_empty() {
        return Err(StoreError::Conflict("every job of the build succeeded"));
    }
    Ok(retry_all(conn, id, set, Cause::Person(by), warm_wait, now)?.1)
}

/// Creates a new attempt of each job of `set`, each after the jobs of the set that it needs.
fn retry_all(
    conn: &mut Conn,
    build: BuildId,
    mut set: BTreeMap<JobId, Job>,
    cause: Cause,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(BTreeMap<JobId, JobId>, Changes), StoreError> {
    let mut created: BTreeMap<JobId, JobId> = BTreeMap::new();
    let mut changes = Changes::default();
    for job in set.values() {
        match (uploads::record_retry(conn, &job.spec, now), cause) {
            // A retry by the farm goes ahead: the new attempt fails and reports that its sources
            // are gone.
            (Err(StoreError::SourcesGone), Cause::Farm { .. }) => {}
            (recorded, _) => recorded?,
        }
    }
    // A new attempt must refer to the new attempts of the jobs it needs, so those are created first.
    while !set.is_empty() {
        let mut ready = None;
        for id in set.keys() {
            let needs: BTreeSet<JobId> = needs(conn, *id)?.iter().map(|need| need.id).collect();
            if needs.iter().all(|need| !set.contains_key(need)) {
                ready = Some((*id, needs));
                break;
            }
        }
        let Some((id, needs)) = ready else {
            return Err(StoreError::Corrupt("job needs"));
        };
        let Some(old) = set.remove(&id) else { continue };
        let new = supersede(
            conn,
            &old,
            needs.iter().map(|need| *created.get(need).unwrap_or(need)),
            cause,
            now,
        )?;
        reservations::record_new(conn, &mut changes, &new, warm_wait, now)?;
        created.insert(id, new.id);
    }
    reopen(conn, build, now)?;
    Ok((created, changes))
}

/// The condition of a job that was started by hand: it need not be started again.
fn without_manual_start(when: When) -> When {
    match when {
        When::Manual => When::OnSuccess,
        other => other,
    }
}

fn supersede(
    conn: &mut Conn,
    old: &Job,
    needs: impl Iterator<Item = JobId>,
    cause: Cause,
    now: DateTime<Utc>,
) -> Result<Job, StoreError> {
    let (created_by, avoid) = match cause {
        Cause::Person(user) => (Some(user), None),
        Cause::Farm { avoid } => (old.created_by, avoid),
    };
    let new = NewJob {
        build: old.build,
        project: old.project,
        queue_key: old.queue_key,
        name: old.name.clone(),
        stage: old.stage.clone(),
        spec: old.spec.clone(),
        timeout_s: old.timeout_s,
        allow_failure: old.allow_failure,
        needs: needs.collect(),
        created_by,
        // A job that has run was started once, so its next attempt need not wait for a user.
        when: match old.started_at {
            Some(_) => without_manual_start(old.when),
            None => old.when,
        },
        details: Details {
            // What the old attempt reported does not apply to the new one.
            exit_code: None,
            error_code: None,
            stopping_until: None,
            system_id: None,
            graceful: false,
            trace_incomplete: false,
            trace_missing_bytes: 0,
            ..details_of(conn, old.id)?
        },
        retries: Some(Retried {
            job: old.id,
            attempt: old.attempt,
            priority: old.priority,
            avoid,
        }),
    };
    let new = insert(conn, &new, now)?;
    diesel::update(job_table::table.find(old.id.0))
        .set(job_table::superseded.eq(true))
        .execute(conn)?;
    // Jobs that still wait for the old attempt now wait for the new one.
    let waiting: Vec<i64> = dependents(conn, old.id)?
        .into_iter()
        .filter(|job| job.state == JobState::Waiting)
        .map(|job| job.id.0)
        .collect();
    diesel::update(job_needs::table)
        .filter(
            job_needs::needs_job_id
                .eq(old.id.0)
                .and(job_needs::job_id.eq_any(waiting)),
        )
        .set(job_needs::needs_job_id.eq(new.id.0))
        .execute(conn)?;
    Ok(new)
}

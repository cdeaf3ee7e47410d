//! New attempts: a retry makes new rows that point at the ones they retry; nothing is overwritten.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::{BuildId, JobId, JobState, Outcome, RunnerId, UserId, When};

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
use crate::queue::warm;
use crate::schema::{job_needs, jobs as job_table};
use crate::settle::reopen;

/// Why there is another attempt.
#[derive(Clone, Copy, Debug)]
pub enum Cause {
    /// A user wants one.
    Person(UserId),
    /// The farm is to blame for the end of the one before.
    Farm {
        /// The runner that lost it, and until when that one is passed over.
        avoid: Option<(RunnerId, DateTime<Utc>)>,
    },
}

/// Makes a new attempt of one job, and of the jobs that were skipped because of it.
///
/// # Errors
/// `Conflict` when the job is not over, was skipped, or has been retried already; `SourcesGone`.
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
        _ if job.superseded => return Err(StoreError::Conflict("the job was retried already")),
        JobState::Done(Outcome::Skipped) => {
            return Err(StoreError::Conflict(
                "the job was skipped: retry the job it needs",
            ));
        }
        JobState::Done(_) => {}
        _ => return Err(StoreError::Conflict("the job is not over")),
    }
    let mut first = job.clone();
    // Whoever tries a job again has started it.
    if matches!(cause, Cause::Person(_)) {
        first.when = started(first.when);
    }
    let mut set = BTreeMap::from([(id, first)]);
    let mut open = vec![id];
    while let Some(next) = open.pop() {
        for dependent in dependents(conn, next)? {
            if dependent.state == JobState::Done(Outcome::Skipped) {
                open.push(dependent.id);
                set.insert(dependent.id, dependent);
            }
        }
    }
    let (made, changes) = retry_all(conn, job.build, set, cause, warm_wait, now)?;
    let new = made.get(&id).copied().ok_or(StoreError::Corrupt("retry"))?;
    Ok((jobs::get(conn, new)?, changes))
}

/// Makes new attempts of all jobs of a build that ended without success.
///
/// # Errors
/// `Conflict` when the build is not over, or every job succeeded; `SourcesGone`.
pub fn retry_build(
    conn: &mut Conn,
    id: BuildId,
    by: UserId,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Changes, StoreError> {
    locks::lock_build(conn, id)?;
    if !builds::get(conn, id)?.state.is_done() {
        return Err(StoreError::Conflict("the build is not over"));
    }
    let set: BTreeMap<JobId, Job> = jobs::of_build(conn, id)?
        .into_iter()
        .filter(|job| !job.superseded && job.state.is_done())
        .filter(|job| job.state != JobState::Done(Outcome::Succeeded))
        .map(|job| (job.id, job))
        .collect();
    if set.is_empty() && builds::get(conn, id)?.handed.error.is_some() {
        return Err(StoreError::Conflict(
            "the build has no jobs; ask for another",
        ));
    }
    if set.is_empty() {
        return Err(StoreError::Conflict("every job of the build succeeded"));
    }
    Ok(retry_all(conn, id, set, Cause::Person(by), warm_wait, now)?.1)
}

/// Makes a new attempt of each job of `set`, those first that others of the set need.
fn retry_all(
    conn: &mut Conn,
    build: BuildId,
    mut set: BTreeMap<JobId, Job>,
    cause: Cause,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(BTreeMap<JobId, JobId>, Changes), StoreError> {
    let mut made: BTreeMap<JobId, JobId> = BTreeMap::new();
    let mut changes = Changes::default();
    for job in set.values() {
        match (uploads::note_retry(conn, &job.spec, now), cause) {
            // The attempt tells of it.
            (Err(StoreError::SourcesGone), Cause::Farm { .. }) => {}
            (noted, _) => noted?,
        }
    }
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
            needs.iter().map(|need| *made.get(need).unwrap_or(need)),
            cause,
            now,
        )?;
        warm::note_new(conn, &mut changes, &new, warm_wait, now)?;
        made.insert(id, new.id);
    }
    reopen(conn, build, now)?;
    Ok((made, changes))
}

/// When a job runs that somebody has started, or need not start any more.
fn started(when: When) -> When {
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
        // What ran once was started once.
        when: match old.started_at {
            Some(_) => started(old.when),
            None => old.when,
        },
        details: Details {
            exit_code: None,
            error_code: None,
            stopping_until: None,
            system_id: None,
            graceful: false,
            trace_incomplete: false,
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
    // Those that still wait for the old attempt wait for the new one.
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

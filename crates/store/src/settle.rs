//! What the end of a job, or its start by a user, changes in the other jobs of its build and in the
//! build itself.
//!
//! This module stands above `jobs` and `builds`, because it writes both.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::pipeline::needs::{Need, next_event, skip_reason};
use slipway_domain::rollup::{RollupJob, build_state};
use slipway_domain::{BuildId, BuildState, Event, JobId, JobState, UserId};

use crate::builds::queries as build_queries;
use crate::builds::{ending, row::explain_sole_conflict, statuses};
use crate::engine::connection::Conn;
use crate::engine::locks;
use crate::engine::time::to_ms;
use crate::error::StoreError;
use crate::jobs::changes::Changes;
use crate::jobs::needs::{as_need, dependents, missing_need, needs, needs_with_artifacts};
use crate::jobs::queries as job_queries;
use crate::jobs::row::Job;
use crate::jobs::state::advance;
use crate::queue::reservations;
use crate::schema::{builds, jobs};

/// Updates the jobs that need the finished job `id`, and the state of their build. A job that
/// becomes pending may be reserved up to `warm_wait` for a runner that built the project recently.
pub fn settle_job(
    conn: &mut Conn,
    id: JobId,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    let mut ended = vec![job_queries::get(conn, id)?];
    let build = ended.first().map(|job| job.build);
    // A skipped job ends as well, so its own dependents follow until nothing changes any more.
    while let Some(job) = ended.pop() {
        if !job.state.is_done() {
            continue;
        }
        for dependent in dependents(conn, job.id)? {
            if dependent.state != JobState::Waiting {
                continue;
            }
            let needed = needs(conn, dependent.id)?;
            let needs: Vec<Need> = needed.iter().map(as_need).collect();
            let Some(event) = next_event(dependent.when, &needs) else {
                continue;
            };
            changes.jobs.push(dependent.id);
            let state = advance(conn, &dependent, event, now)?;
            if state == JobState::Pending && fail_without_need(conn, dependent.id, now)? {
                ended.push(job_queries::get(conn, dependent.id)?);
            } else if state == JobState::Pending {
                reservations::record_pending(conn, &mut changes, &dependent, warm_wait, now)?;
            } else if state.is_done() {
                record_skip_reason(conn, &dependent, &needed)?;
                ended.push(job_queries::get(conn, dependent.id)?);
            }
        }
    }
    if let Some(build) = build {
        roll_up(conn, build, now)?;
    }
    Ok(changes)
}

/// Fails a pending job if something is missing that a needed job was to leave. Returns whether it
/// did.
fn fail_without_need(conn: &mut Conn, id: JobId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let job = job_queries::get(conn, id)?;
    let needs = needs_with_artifacts(conn, id)?;
    let Some(message) = missing_need(&job, &needs, now) else {
        return Ok(false);
    };
    advance(conn, &job, Event::NeedMissing, now)?;
    diesel::update(jobs::table.find(id.0))
        .set(jobs::failure_message.eq(message))
        .execute(conn)?;
    Ok(true)
}

/// Records in a skipped job which of the needed jobs is the reason.
fn record_skip_reason(conn: &mut Conn, skipped: &Job, needed: &[Job]) -> Result<(), StoreError> {
    let needs: Vec<_> = needed
        .iter()
        .map(|need| (need.name.as_str(), as_need(need)))
        .collect();
    diesel::update(jobs::table.find(skipped.id.0))
        .set(jobs::failure_message.eq(skip_reason(skipped.when, &needs)))
        .execute(conn)?;
    Ok(())
}

/// Starts a job that waits for a user to start it, in the name of `by`. It may be reserved up to
/// `warm_wait` for a runner that built the project recently.
///
/// # Errors
/// `Refused` if it does not wait for a user.
pub fn play_job(
    conn: &mut Conn,
    id: JobId,
    by: UserId,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Changes, StoreError> {
    // The job is read again under the lock, because another transaction may have changed it.
    let build = job_queries::get(conn, id)?.build;
    locks::lock_build(conn, build)?;
    let job = job_queries::get(conn, id)?;
    advance(conn, &job, Event::Play, now)?;
    diesel::update(jobs::table.find(id.0))
        .set(jobs::created_by.eq(by.0))
        .execute(conn)?;
    reopen(conn, build, now)?;
    let mut changes = Changes {
        jobs: vec![id],
        ..Changes::default()
    };
    reservations::record_pending(conn, &mut changes, &job, warm_wait, now)?;
    Ok(changes)
}

/// Makes a build unfinished again, because one of its jobs was started or retried.
pub(crate) fn reopen(conn: &mut Conn, id: BuildId, now: DateTime<Utc>) -> Result<(), StoreError> {
    ending::clear(conn, id, now)?;
    // This can violate the unique index if another sole build of the commit and ref has started since.
    let reopened = diesel::update(builds::table.find(id.0))
        .set(builds::finished_at.eq(None::<i64>))
        .execute(conn);
    explain_sole_conflict(reopened.map_err(StoreError::from))?;
    statuses::reset(conn, id)?;
    roll_up(conn, id, now)?;
    Ok(())
}

/// Writes the state that follows from a build's jobs, and returns it.
pub(crate) fn roll_up(
    conn: &mut Conn,
    id: BuildId,
    now: DateTime<Utc>,
) -> Result<BuildState, StoreError> {
    let build = build_queries::get(conn, id)?;
    let parts: Vec<RollupJob> = job_queries::of_build(conn, id)?
        .into_iter()
        // Only the latest attempt of a job decides about its build.
        .filter(|job| !job.superseded)
        .map(|job| RollupJob {
            state: job.state,
            allowed_to_fail: job.allow_failure,
        })
        .collect();
    let state = build_state(&parts, build.submission.error.is_some());
    if state != build.state {
        let finished = state.is_done().then(|| to_ms(now));
        diesel::update(builds::table.find(id.0))
            .set((
                builds::state.eq(state.as_str()),
                builds::finished_at.eq(finished),
            ))
            .execute(conn)?;
        tracing::info!(build.id = %build.uuid, state = state.as_str(), "Build {} is {state}", build.uuid);
    }
    Ok(state)
}

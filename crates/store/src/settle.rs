//! What the end of a job, or its start by a person, changes in the other jobs of its build and in the
//! build itself.
//!
//! This stands above `jobs` and `builds`, because it writes both.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::pipeline::needs::{Need, next_event, skip_reason};
use slipway_domain::rollup::{RollupJob, build_state};
use slipway_domain::{BuildId, BuildState, Event, JobId, JobState, UserId};

use crate::builds::queries as build_queries;
use crate::builds::{ending, row::or_not_alone, statuses};
use crate::engine::connection::Conn;
use crate::engine::locks;
use crate::engine::time::to_ms;
use crate::error::StoreError;
use crate::jobs::changes::Changes;
use crate::jobs::needs::{as_need, dependents, needs};
use crate::jobs::queries as job_queries;
use crate::jobs::row::Job;
use crate::jobs::state::advance;
use crate::queue::warm;
use crate::schema::{builds, jobs};

/// Carries the end of `id` on to the jobs that need it, and to the state of their build. What may
/// run now is kept up to `warm_wait` for a runner that built the project lately.
pub fn settle(
    conn: &mut Conn,
    id: JobId,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    let mut ended = vec![job_queries::get(conn, id)?];
    let build = ended.first().map(|job| job.build);
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
            if state == JobState::Pending {
                warm::note_pending(conn, &mut changes, &dependent, warm_wait, now)?;
            } else if state.is_done() {
                say_why_skipped(conn, &dependent, &needed)?;
                ended.push(job_queries::get(conn, dependent.id)?);
            }
        }
    }
    if let Some(build) = build {
        roll_up(conn, build, now)?;
    }
    Ok(changes)
}

/// Notes of a job that was skipped which of those that it needs is the cause.
fn say_why_skipped(conn: &mut Conn, skipped: &Job, needed: &[Job]) -> Result<(), StoreError> {
    let needs: Vec<_> = needed
        .iter()
        .map(|need| (need.name.as_str(), as_need(need)))
        .collect();
    diesel::update(jobs::table.find(skipped.id.0))
        .set(jobs::failure_message.eq(skip_reason(skipped.when, &needs)))
        .execute(conn)?;
    Ok(())
}

/// Puts a job that waits for somebody to start it into the queue, in the name of who does; it is
/// kept up to `warm_wait` for a runner that built the project lately.
///
/// # Errors
/// `Refused` when it does not wait for that.
pub fn play(
    conn: &mut Conn,
    id: JobId,
    by: UserId,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Changes, StoreError> {
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
    warm::note_pending(conn, &mut changes, &job, warm_wait, now)?;
    Ok(changes)
}

/// Rolls a build up in which something began anew, so that it has not finished after all.
pub(crate) fn reopen(conn: &mut Conn, id: BuildId, now: DateTime<Utc>) -> Result<(), StoreError> {
    ending::take_back(conn, id, now)?;
    let reopened = diesel::update(builds::table.find(id.0))
        .set(builds::finished_at.eq(None::<i64>))
        .execute(conn);
    or_not_alone(reopened.map_err(StoreError::from))?;
    statuses::begin_anew(conn, id)?;
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
        .filter(|job| !job.superseded)
        .map(|job| RollupJob {
            state: job.state,
            allowed_to_fail: job.allow_failure,
        })
        .collect();
    let state = build_state(&parts, build.handed.error.is_some());
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

//! Changes of a job's state. No other code writes the state columns, except the claim of a batch.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::{Event, JobId, JobState, Outcome, UserId};

use crate::engine::connection::Conn;
use crate::engine::locks;
use crate::engine::time::to_ms;
use crate::error::StoreError;
use crate::jobs::changes::Changes;
use crate::jobs::queries::get;
use crate::jobs::row::{Job, StateColumns};
use crate::jobs::{details, phases, traces};
use crate::queue::keys;
use crate::schema::{jobs, project_loads};

/// Applies `event` to a job, for example its end or its cancellation.
/// [`settle_job`](crate::settle::settle_job) then updates the rest of its build.
///
/// # Errors
/// `Refused` if the job's state does not allow the event.
pub fn apply(
    conn: &mut Conn,
    id: JobId,
    event: Event,
    message: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(JobState, Changes), StoreError> {
    // The build is always locked before its jobs, so that two jobs that end together do not
    // deadlock.
    let build = get(conn, id)?.build;
    locks::lock_build(conn, build)?;
    let job = get(conn, id)?;
    let state = advance(conn, &job, event, now)?;
    if let Some(message) = message {
        diesel::update(jobs::table.find(id.0))
            .set(jobs::failure_message.eq(message))
            .execute(conn)?;
    }
    let mut changes = Changes {
        jobs: vec![id],
        ..Changes::default()
    };
    // The job no longer counts against the project's limit, so another one may start.
    if job.state.is_running() && state.is_done() {
        changes
            .pending
            .extend(keys::held_back_by_limit(conn, job.project)?);
    }
    Ok((state, changes))
}

/// Moves the job that was read as `seen` to the state after `event`. Only this function writes the
/// state columns, except for the claim of a batch, which uses the same transition.
///
/// # Errors
/// `Stale` if the row changed after it was read: read it again and decide again.
pub(crate) fn advance(
    conn: &mut Conn,
    seen: &Job,
    event: Event,
    now: DateTime<Utc>,
) -> Result<JobState, StoreError> {
    let next = seen.state.after(event)?;
    let now = to_ms(now);
    let target = jobs::table.find(seen.id.0).filter(jobs::rev.eq(seen.rev));
    let columns = (StateColumns::from(next), jobs::rev.eq(seen.rev + 1));
    // The revision in the condition makes two transactions that read the same row exclude each other.
    let changed = match (seen.state, next) {
        (_, JobState::Pending) => diesel::update(target)
            .set((columns, jobs::queued_at.eq(now)))
            .execute(conn)?,
        (_, JobState::Done(_)) => diesel::update(target)
            .set((columns, jobs::finished_at.eq(now)))
            .execute(conn)?,
        _ => diesel::update(target).set(columns).execute(conn)?,
    };
    if changed == 0 {
        return Err(StoreError::Stale);
    }
    match (seen.state, next) {
        // The length of the trace tells readers later which output belongs to which phase.
        (JobState::Running(_, before), JobState::Running(_, phase)) if before != phase => {
            let length = traces::extent(conn, seen.id, traces::View::Now)?.length;
            phases::note(conn, seen.id, Some(phase), length, now)?;
        }
        (JobState::Running(..), JobState::Done(_)) => {
            let length = traces::extent(conn, seen.id, traces::View::Now)?.length;
            phases::note(conn, seen.id, None, length, now)?;
        }
        _ => {}
    }
    // The runner learns of the cancellation later; until its lease expires it may still be stopping.
    if let (JobState::Running(lease, _), JobState::Done(Outcome::Canceled)) = (seen.state, next) {
        details::record_stopping(conn, seen.id, lease.expires_at)?;
    }
    // The claim counted the job as running.
    if seen.state.is_running() && next.is_done() {
        diesel::update(project_loads::table.find(seen.project.0))
            .set(project_loads::running.eq(project_loads::running - 1))
            .execute(conn)?;
    }
    if next.is_done() {
        tracing::info!(job.id = %seen.id, state = next.name(), "Job {} is {}", seen.id, next.name());
    }
    Ok(next)
}

/// Marks a job whose trace and artifacts are erased. From now on it accepts neither.
///
/// # Errors
/// `Conflict` if the job is unfinished, or already erased.
pub fn mark_erased(
    conn: &mut Conn,
    id: JobId,
    by: UserId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let job = get(conn, id)?;
    if !job.state.is_done() {
        return Err(StoreError::Conflict("the job is unfinished"));
    }
    // The condition lets only one of two concurrent requests erase the job.
    let changed = diesel::update(jobs::table.find(id.0).filter(jobs::erased_at.is_null()))
        .set((
            jobs::erased_at.eq(to_ms(now)),
            jobs::erased_by.eq(by.0),
            jobs::rev.eq(jobs::rev + 1),
        ))
        .execute(conn)?;
    if changed == 0 {
        Err(StoreError::Conflict("the job was already erased"))
    } else {
        Ok(())
    }
}

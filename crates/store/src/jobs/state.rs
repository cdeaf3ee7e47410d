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

/// Ends a job, or lets it go on when the event says so, and carries what follows from it through
/// its build: who may start now, who is skipped, and the build's own state.
///
/// # Errors
/// `Refused` when the job's state does not take the event.
pub fn apply(
    conn: &mut Conn,
    id: JobId,
    event: Event,
    message: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(JobState, Changes), StoreError> {
    // The build's row is always locked before its jobs': two jobs that end together take turns.
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
    if job.state.is_running() && state.is_done() {
        changes
            .pending
            .extend(keys::held_back_by_limit(conn, job.project)?);
    }
    Ok((state, changes))
}

/// Moves the job that was read as `seen` on by `event`: the one door to the state columns, but
/// for the claim of a whole batch, which takes the same transition.
///
/// # Errors
/// `Stale` when the row changed since it was read: read it again and decide again.
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
        (JobState::Running(_, before), JobState::Running(_, phase)) if before != phase => {
            let length = traces::extent(conn, seen.id)?.length;
            phases::note(conn, seen.id, Some(phase), length, now)?;
        }
        (JobState::Running(..), JobState::Done(_)) => {
            let length = traces::extent(conn, seen.id)?.length;
            phases::note(conn, seen.id, None, length, now)?;
        }
        _ => {}
    }
    if let (JobState::Running(lease, _), JobState::Done(Outcome::Canceled)) = (seen.state, next) {
        details::note_stopping(conn, seen.id, lease.expires_at)?;
    }
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

/// Marks a job whose trace and artifacts are gone; from now on it takes neither.
///
/// # Errors
/// `Conflict` when it is not over, or erased already.
pub fn mark_erased(
    conn: &mut Conn,
    id: JobId,
    by: UserId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let job = get(conn, id)?;
    if !job.state.is_done() {
        return Err(StoreError::Conflict("the job is not over"));
    }
    let changed = diesel::update(jobs::table.find(id.0).filter(jobs::erased_at.is_null()))
        .set((
            jobs::erased_at.eq(to_ms(now)),
            jobs::erased_by.eq(by.0),
            jobs::rev.eq(jobs::rev + 1),
        ))
        .execute(conn)?;
    if changed == 0 {
        Err(StoreError::Conflict("the job is erased already"))
    } else {
        Ok(())
    }
}

//! Leases of running jobs: which have expired, and how they are renewed or ended early.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::{Event, JobId, JobState, Lease, Phase, RunnerId};

use crate::engine::connection::Conn;
use crate::engine::literals::IsRunning;
use crate::engine::time::to_ms;
use crate::error::StoreError;
use crate::jobs::row::Job;
use crate::jobs::state::advance;
use crate::schema::jobs;

/// The running jobs whose lease has expired at `now`, earliest expiry first.
pub fn lapsed(conn: &mut Conn, now: DateTime<Utc>, limit: i64) -> Result<Vec<JobId>, StoreError> {
    let ids: Vec<i64> = jobs::table
        .filter(IsRunning)
        .filter(jobs::lease_expires_at.le(to_ms(now)))
        .order(jobs::lease_expires_at)
        .limit(limit)
        .select(jobs::id)
        .load(conn)?;
    Ok(ids.into_iter().map(JobId).collect())
}

/// Extends the lease of every running job to at least `until`, as after a start of the coordinator.
pub fn grant_grace(conn: &mut Conn, until: DateTime<Utc>) -> Result<usize, StoreError> {
    let changed = diesel::update(jobs::table)
        .filter(IsRunning)
        .filter(jobs::lease_expires_at.lt(to_ms(until)))
        .set((
            jobs::lease_expires_at.eq(to_ms(until)),
            // A transaction that read the old lease must notice the change and start over.
            jobs::rev.eq(jobs::rev + 1),
        ))
        .execute(conn)?;
    Ok(changed)
}

/// Expires the leases of a runner's jobs at once, so that the jobs are lost.
pub fn end_leases_of(
    conn: &mut Conn,
    runner: RunnerId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::update(jobs::table)
        .filter(IsRunning)
        .filter(jobs::runner_id.eq(runner.0))
        .set((
            jobs::lease_expires_at.eq(to_ms(now)),
            // A transaction that read the old lease must notice the change and start over.
            jobs::rev.eq(jobs::rev + 1),
        ))
        .execute(conn)?;
    Ok(())
}

/// Renews the lease of a running job, and sets its phase if there is a new one.
///
/// # Errors
/// `Refused` if the job is not running, or not on this runner.
pub fn renew(
    conn: &mut Conn,
    job: &Job,
    runner: RunnerId,
    phase: Option<Phase>,
    now: DateTime<Utc>,
) -> Result<JobState, StoreError> {
    let lease = Lease {
        runner,
        expires_at: now + job.lease_length,
    };
    advance(conn, job, Event::Renew(lease, phase), now)
}

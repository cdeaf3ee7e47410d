//! Leases of running jobs: which have expired, and how they are renewed or ended early.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::{Event, JobId, JobState, Lease, Phase, RunnerId};

use crate::engine::connection::Conn;
use crate::engine::literals::IsRunning;
use crate::engine::time::{from_ms, to_ms};
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

/// The lease of a running job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningLease {
    pub job: JobId,
    /// When it expires, by the clock of the coordinator that renewed it.
    pub expires_at: DateTime<Utc>,
    /// For how long it is renewed.
    pub length: Duration,
}

/// The leases of all running jobs.
pub fn running_leases(conn: &mut Conn) -> Result<Vec<RunningLease>, StoreError> {
    let rows: Vec<(i64, Option<i64>, Option<i64>)> = jobs::table
        .filter(IsRunning)
        .select((jobs::id, jobs::lease_expires_at, jobs::lease_ms))
        .load(conn)?;
    let lease = |(id, expires_at, length): (i64, Option<i64>, Option<i64>)| {
        Ok(RunningLease {
            job: JobId(id),
            expires_at: from_ms(expires_at.unwrap_or_default())?,
            length: Duration::from_millis(u64::try_from(length.unwrap_or_default()).unwrap_or(0)),
        })
    };
    rows.into_iter().map(lease).collect()
}

/// Extends the lease of every running job to at least `grace` from `now` on, as after a start of the
/// coordinator. Leases that were renewed after `now`, by a clock that was set back since, are cut to
/// their length.
pub fn grant_grace(
    conn: &mut Conn,
    now: DateTime<Utc>,
    grace: TimeDelta,
) -> Result<usize, StoreError> {
    let until = now + grace;
    diesel::update(jobs::table)
        .filter(IsRunning)
        .filter((jobs::lease_expires_at - jobs::lease_ms).gt(to_ms(now)))
        .set((
            jobs::lease_expires_at.eq(jobs::lease_ms + to_ms(now)),
            jobs::rev.eq(jobs::rev + 1),
        ))
        .execute(conn)?;
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

//! How a build ends as a whole: canceled, failed, or out of time.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::BuildId;

use crate::builds::queries::get;
use crate::builds::row::BuildError;
use crate::engine::connection::Conn;
use crate::engine::locks;
use crate::engine::time::to_ms;
use crate::error::StoreError;
use crate::schema::builds;

/// Marks a build as canceled as a whole, and locks it until the transaction ends. The caller
/// cancels its jobs.
///
/// # Errors
/// `Conflict` if it is finished.
pub fn mark_canceled(conn: &mut Conn, id: BuildId) -> Result<(), StoreError> {
    locks::lock_build(conn, id)?;
    if get(conn, id)?.state.is_done() {
        return Err(StoreError::Conflict("the build is already finished"));
    }
    diesel::update(builds::table.find(id.0))
        .set(builds::called_off.eq(true))
        .execute(conn)?;
    Ok(())
}

/// Unfinished builds whose deadline is at or before `now`, earliest deadline first.
pub fn overdue(
    conn: &mut Conn,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<BuildId>, StoreError> {
    let ids: Vec<i64> = builds::table
        .filter(builds::finished_at.is_null())
        .filter(builds::deadline_at.le(to_ms(now)))
        .order(builds::deadline_at)
        .limit(limit)
        .select(builds::id)
        .load(conn)?;
    Ok(ids.into_iter().map(BuildId).collect())
}

/// Moves the deadlines of all unfinished builds, as after a jump of the clock. Returns their number.
pub fn postpone_deadlines(conn: &mut Conn, by: TimeDelta) -> Result<usize, StoreError> {
    let moved = diesel::update(builds::table)
        .filter(builds::finished_at.is_null())
        .filter(builds::deadline_at.is_not_null())
        .set(builds::deadline_at.eq(builds::deadline_at + by.num_milliseconds()))
        .execute(conn)?;
    Ok(moved)
}

/// Records why a build failed as a whole, and locks it until the transaction ends. Returns false,
/// and changes nothing, if the build is finished.
pub fn fail(conn: &mut Conn, id: BuildId, error: &BuildError) -> Result<bool, StoreError> {
    locks::lock_build(conn, id)?;
    if get(conn, id)?.state.is_done() {
        return Ok(false);
    }
    diesel::update(builds::table.find(id.0))
        .set((
            builds::error_code.eq(&error.code),
            builds::error_message.eq(&error.message),
        ))
        .execute(conn)?;
    Ok(true)
}

/// Clears how a finished build ended, because it runs again. Its full timeout starts over now.
pub(crate) fn clear(conn: &mut Conn, id: BuildId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let build = get(conn, id)?;
    // A build that still runs keeps its deadline.
    if build.finished_at.is_none() {
        return Ok(());
    }
    let allowed = build.submission.timeout_s.map(i64::from);
    let deadline = allowed.map(|allowed| to_ms(now + TimeDelta::seconds(allowed)));
    diesel::update(builds::table.find(id.0))
        .set((
            builds::called_off.eq(false),
            builds::error_code.eq(None::<String>),
            builds::error_message.eq(None::<String>),
            builds::deadline_at.eq(deadline),
        ))
        .execute(conn)?;
    Ok(())
}

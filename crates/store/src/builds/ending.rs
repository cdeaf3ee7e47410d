//! How a build ends as a whole: called off, or out of time.

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

/// Notes that somebody called all of a build off, and keeps others from changing it until the
/// transaction ends.
///
/// # Errors
/// `Conflict` when it is over.
pub fn call_off(conn: &mut Conn, id: BuildId) -> Result<(), StoreError> {
    locks::lock_build(conn, id)?;
    if get(conn, id)?.state.is_done() {
        return Err(StoreError::Conflict("the build is over"));
    }
    diesel::update(builds::table.find(id.0))
        .set(builds::called_off.eq(true))
        .execute(conn)?;
    Ok(())
}

/// Builds that are not over and had to be before `now`, those first that had to be first.
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

/// Notes why a build as a whole could not be, and keeps others from changing it until the
/// transaction ends. Returns whether it was not over.
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

/// Forgets how a build that was over had ended, as it goes on after all: with all the time it may
/// take, as if it began now.
pub(crate) fn take_back(
    conn: &mut Conn,
    id: BuildId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let build = get(conn, id)?;
    if build.finished_at.is_none() {
        return Ok(());
    }
    let allowed = build.handed.timeout_s.map(i64::from);
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

//! Commit statuses: which were reported to the forge, and when the next attempt is due.
//!
//! The status itself is not stored. It follows from the build's row, so the two cannot disagree. A
//! row is created with its build and is settled once the end was reported or reporting was given
//! up.

use chrono::{DateTime, Utc};
use diesel::dsl::not;
use diesel::prelude::*;
use slipway_domain::BuildId;

use crate::engine::connection::Conn;
use crate::engine::time::to_ms;
use crate::error::StoreError;
use crate::schema::{builds, commit_statuses};

/// The column's value once the start of the build was reported.
const STARTED: &str = "begun";

/// A build whose status must be reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub build: BuildId,
    /// Whether the start of the build was reported.
    pub start_reported: bool,
    /// How many attempts failed.
    pub tries: i32,
    next_try_at: i64,
}

/// Records that the progress of a build is reported to the forge.
pub(crate) fn insert(
    conn: &mut Conn,
    build: BuildId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::insert_into(commit_statuses::table)
        .values((
            commit_statuses::build_id.eq(build.0),
            commit_statuses::told.eq(None::<String>),
            commit_statuses::tries.eq(0),
            commit_statuses::next_try_at.eq(to_ms(now)),
            commit_statuses::settled.eq(false),
        ))
        .execute(conn)?;
    Ok(())
}

/// Reports everything once more for a build that was reopened.
pub(crate) fn reset(conn: &mut Conn, build: BuildId) -> Result<(), StoreError> {
    let row = commit_statuses::table
        .find(build.0)
        .filter(commit_statuses::settled);
    diesel::update(row)
        .set((
            commit_statuses::told.eq(None::<String>),
            commit_statuses::tries.eq(0),
            commit_statuses::next_try_at.eq(0),
            commit_statuses::settled.eq(false),
        ))
        .execute(conn)?;
    Ok(())
}

/// The builds whose status must be reported at `now`, longest wait first.
pub fn due(conn: &mut Conn, now: DateTime<Utc>, limit: i64) -> Result<Vec<Due>, StoreError> {
    // Two things are reported: that the build started, and how it finished.
    let started = commit_statuses::told
        .is_null()
        .and(builds::started_at.is_not_null());
    let rows: Vec<(i64, Option<String>, i32, i64)> = commit_statuses::table
        .inner_join(builds::table.on(builds::id.eq(commit_statuses::build_id)))
        .filter(not(commit_statuses::settled))
        .filter(commit_statuses::next_try_at.le(to_ms(now)))
        .filter(started.or(builds::finished_at.is_not_null()))
        .order((commit_statuses::next_try_at, commit_statuses::build_id))
        .limit(limit)
        .select((
            commit_statuses::build_id,
            commit_statuses::told,
            commit_statuses::tries,
            commit_statuses::next_try_at,
        ))
        .load(conn)?;
    let read = |(build, told, tries, next_try_at): (i64, Option<String>, i32, i64)| Due {
        build: BuildId(build),
        start_reported: told.is_some(),
        tries,
        next_try_at,
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Reserves the report of a build for the caller until `until`. Returns false if another caller was
/// faster. A caller that crashes reports nothing, or its report is sent twice.
pub fn begin_attempt(conn: &mut Conn, due: &Due, until: DateTime<Utc>) -> Result<bool, StoreError> {
    let row = commit_statuses::table
        .find(due.build.0)
        // Another caller that reserved the report has moved this time.
        .filter(commit_statuses::next_try_at.eq(due.next_try_at))
        .filter(not(commit_statuses::settled));
    let reserved = diesel::update(row)
        .set(commit_statuses::next_try_at.eq(to_ms(until)))
        .execute(conn)?;
    Ok(reserved == 1)
}

/// Records that the start of the build was reported to the forge.
pub fn record_start_reported(
    conn: &mut Conn,
    build: BuildId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::update(commit_statuses::table.find(build.0))
        .set((
            commit_statuses::told.eq(STARTED),
            commit_statuses::tries.eq(0),
            commit_statuses::next_try_at.eq(to_ms(now)),
        ))
        .execute(conn)?;
    Ok(())
}

/// Records that nothing is left to report of a build that finished at `finished`. A build that was
/// reopened meanwhile stays due.
pub fn finish(conn: &mut Conn, build: BuildId, finished: DateTime<Utc>) -> Result<(), StoreError> {
    let same: Option<i64> = builds::table
        .find(build.0)
        .filter(builds::finished_at.eq(to_ms(finished)))
        .select(builds::id)
        .first(conn)
        .optional()?;
    let settled = same.is_some();
    diesel::update(commit_statuses::table.find(build.0))
        .set((
            commit_statuses::told.eq(None::<String>),
            commit_statuses::tries.eq(0),
            // If the build was reopened meanwhile, everything is reported once more.
            commit_statuses::settled.eq(settled),
        ))
        .execute(conn)?;
    Ok(())
}

/// Records a failed attempt and when the next one is due.
pub fn schedule_retry(
    conn: &mut Conn,
    build: BuildId,
    tries: i32,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::update(commit_statuses::table.find(build.0))
        .set((
            commit_statuses::tries.eq(tries),
            commit_statuses::next_try_at.eq(to_ms(at)),
        ))
        .execute(conn)?;
    Ok(())
}

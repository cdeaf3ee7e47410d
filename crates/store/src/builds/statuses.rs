//! What forges are told of builds: which were told what, and when the next try is due.
//!
//! What there is to tell is not stored: it follows from the build's row, so nothing can be lost
//! between the two. A row is made with its build and is settled once the end was told, or given up.

use chrono::{DateTime, Utc};
use diesel::dsl::not;
use diesel::prelude::*;
use slipway_domain::BuildId;

use crate::engine::connection::Conn;
use crate::engine::time::to_ms;
use crate::error::StoreError;
use crate::schema::{builds, commit_statuses};

/// That the build began was told.
const BEGUN: &str = "begun";

/// A build of which there is something to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The build.
    pub build: BuildId,
    /// Whether it was told that the build began.
    pub begun_told: bool,
    /// How often telling it has failed.
    pub tries: i32,
    next_try_at: i64,
}

/// Notes that the forge is told how a build goes.
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

/// Everything is told once more of a build in which something began anew.
pub(crate) fn begin_anew(conn: &mut Conn, build: BuildId) -> Result<(), StoreError> {
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

/// The builds of which there is something to tell at `now`, those first that have waited longest.
pub fn due(conn: &mut Conn, now: DateTime<Utc>, limit: i64) -> Result<Vec<Due>, StoreError> {
    let begun = commit_statuses::told
        .is_null()
        .and(builds::started_at.is_not_null());
    let rows: Vec<(i64, Option<String>, i32, i64)> = commit_statuses::table
        .inner_join(builds::table.on(builds::id.eq(commit_statuses::build_id)))
        .filter(not(commit_statuses::settled))
        .filter(commit_statuses::next_try_at.le(to_ms(now)))
        .filter(begun.or(builds::finished_at.is_not_null()))
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
        begun_told: told.is_some(),
        tries,
        next_try_at,
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Takes it upon the caller to tell of a build, and keeps others from it until `until`. Returns
/// whether nobody else was quicker. A caller that dies has told nothing, or tells it twice.
pub fn take(conn: &mut Conn, due: &Due, until: DateTime<Utc>) -> Result<bool, StoreError> {
    let row = commit_statuses::table
        .find(due.build.0)
        .filter(commit_statuses::next_try_at.eq(due.next_try_at))
        .filter(not(commit_statuses::settled));
    let taken = diesel::update(row)
        .set(commit_statuses::next_try_at.eq(to_ms(until)))
        .execute(conn)?;
    Ok(taken == 1)
}

/// Notes that the forge knows that the build began.
pub fn told_begun(conn: &mut Conn, build: BuildId, now: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::update(commit_statuses::table.find(build.0))
        .set((
            commit_statuses::told.eq(BEGUN),
            commit_statuses::tries.eq(0),
            commit_statuses::next_try_at.eq(to_ms(now)),
        ))
        .execute(conn)?;
    Ok(())
}

/// Notes that there is nothing more to tell of a build that ended at `finished`; one that began
/// anew meanwhile goes on.
pub fn settle(conn: &mut Conn, build: BuildId, finished: DateTime<Utc>) -> Result<(), StoreError> {
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
            commit_statuses::settled.eq(settled),
        ))
        .execute(conn)?;
    Ok(())
}

/// Notes that telling failed, and when it is tried again.
pub fn try_again(
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

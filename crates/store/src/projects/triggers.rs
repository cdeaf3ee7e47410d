//! Triggers, which start builds of a project from outside. Their tokens are derived from the farm's
//! key and the nonce of the trigger.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::{Nonce, ProjectId, TriggerId, UserId};

use crate::engine::connection::Conn;
use crate::engine::nonces::{from_opt_nonce, new_nonce};
use crate::engine::time::{from_ms, from_opt_ms, to_ms};
use crate::error::{OrMissing, StoreError};
use crate::schema::triggers;

/// Starts builds of a project from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    pub id: TriggerId,
    pub project: ProjectId,
    pub description: String,
    /// Who created it. Its builds are created in this user's name.
    pub created_by: Option<UserId>,
    pub created_at: DateTime<Utc>,
    /// When it last started a build.
    pub last_used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    /// What its token is derived from, besides its id. Absent in triggers of earlier versions.
    pub nonce: Option<Nonce>,
}

type Row = (
    i64,
    i64,
    String,
    Option<i64>,
    i64,
    Option<i64>,
    Option<i64>,
    Option<String>,
);

fn read(row: Row) -> Result<Trigger, StoreError> {
    let (id, project, description, created_by, created_at, last_used_at, revoked_at, nonce) = row;
    Ok(Trigger {
        id: TriggerId(id),
        project: ProjectId(project),
        description,
        created_by: created_by.map(UserId),
        created_at: from_ms(created_at)?,
        last_used_at: from_opt_ms(last_used_at)?,
        revoked_at: from_opt_ms(revoked_at)?,
        nonce: from_opt_nonce(nonce.as_deref())?,
    })
}

/// Creates a trigger.
pub fn insert(
    conn: &mut Conn,
    project: ProjectId,
    description: &str,
    created_by: UserId,
    now: DateTime<Utc>,
) -> Result<Trigger, StoreError> {
    let id: i64 = diesel::insert_into(triggers::table)
        .values((
            triggers::project_id.eq(project.0),
            triggers::description.eq(description),
            triggers::created_by.eq(created_by.0),
            triggers::created_at.eq(to_ms(now)),
            triggers::nonce.eq(new_nonce()),
        ))
        .returning(triggers::id)
        .get_result(conn)?;
    get(conn, TriggerId(id))
}

/// Reads a trigger, also a revoked one.
pub fn get(conn: &mut Conn, id: TriggerId) -> Result<Trigger, StoreError> {
    read(
        triggers::table
            .find(id.0)
            .first(conn)
            .or_missing("trigger")?,
    )
}

/// The triggers of a project, oldest first, without revoked ones.
pub fn of_project(conn: &mut Conn, project: ProjectId) -> Result<Vec<Trigger>, StoreError> {
    let rows = triggers::table
        .filter(triggers::project_id.eq(project.0))
        .filter(triggers::revoked_at.is_null())
        .order(triggers::id)
        .load(conn)?;
    rows.into_iter().map(read).collect()
}

/// Records that a trigger started a build.
pub fn record_use(conn: &mut Conn, id: TriggerId, now: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::update(triggers::table.find(id.0))
        .set(triggers::last_used_at.eq(to_ms(now)))
        .execute(conn)?;
    Ok(())
}

/// Revokes a trigger. Builds that it started stay.
///
/// # Errors
/// `NotFound` if there is none, or it was already revoked.
pub fn revoke(conn: &mut Conn, id: TriggerId, now: DateTime<Utc>) -> Result<Trigger, StoreError> {
    let target = triggers::table
        .find(id.0)
        .filter(triggers::revoked_at.is_null());
    let changed = diesel::update(target)
        .set(triggers::revoked_at.eq(to_ms(now)))
        .execute(conn)?;
    match changed {
        0 => Err(StoreError::NotFound("trigger")),
        _ => get(conn, id),
    }
}

/// Revokes the triggers that a user created.
pub fn revoke_created_by(
    conn: &mut Conn,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let theirs = triggers::table
        .filter(triggers::created_by.eq(user.0))
        .filter(triggers::revoked_at.is_null());
    diesel::update(theirs)
        .set(triggers::revoked_at.eq(to_ms(now)))
        .execute(conn)?;
    Ok(())
}

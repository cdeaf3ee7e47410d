//! Registration tokens: who may register a runner, and for which projects.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::{ProjectId, TokenHash, TokenId, UserId};

use crate::engine::connection::Conn;
use crate::engine::page::{Page, rows};
use crate::engine::time::{from_ms, from_opt_ms, to_ms};
use crate::error::{OrMissing, StoreError};
use crate::projects::queries::Reach;
use crate::schema::{projects, registration_tokens};

/// A registration token, without its secret.
#[derive(Clone, Debug)]
pub struct Registration {
    pub id: TokenId,
    pub description: String,
    /// The only project that its runners serve; if absent, they are shared.
    pub project: Option<ProjectId>,
    /// Whether it registers only one runner.
    pub single_use: bool,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was first used.
    pub used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// The values of a new registration token.
#[derive(Clone, Debug)]
pub struct NewRegistration {
    /// The hash of its secret.
    pub hash: TokenHash,
    pub description: String,
    /// The only project that its runners serve; if absent, they are shared.
    pub project: Option<ProjectId>,
    pub created_by: Option<UserId>,
    /// Whether it registers only one runner.
    pub single_use: bool,
    pub expires_at: Option<DateTime<Utc>>,
}

type Row = (
    i64,
    String,
    Option<i64>,
    bool,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);

type Columns = (
    registration_tokens::id,
    registration_tokens::description,
    registration_tokens::project_id,
    registration_tokens::single_use,
    registration_tokens::created_at,
    registration_tokens::expires_at,
    registration_tokens::used_at,
    registration_tokens::revoked_at,
);

const COLUMNS: Columns = (
    registration_tokens::id,
    registration_tokens::description,
    registration_tokens::project_id,
    registration_tokens::single_use,
    registration_tokens::created_at,
    registration_tokens::expires_at,
    registration_tokens::used_at,
    registration_tokens::revoked_at,
);

fn read(row: Row) -> Result<Registration, StoreError> {
    let (id, description, project, single_use, created_at, expires_at, used_at, revoked_at) = row;
    Ok(Registration {
        id: TokenId(id),
        description,
        project: project.map(ProjectId),
        single_use,
        created_at: from_ms(created_at)?,
        expires_at: from_opt_ms(expires_at)?,
        used_at: from_opt_ms(used_at)?,
        revoked_at: from_opt_ms(revoked_at)?,
    })
}

/// Creates a registration token.
pub fn insert(
    conn: &mut Conn,
    new: &NewRegistration,
    now: DateTime<Utc>,
) -> Result<Registration, StoreError> {
    let id: i64 = diesel::insert_into(registration_tokens::table)
        .values((
            registration_tokens::hash.eq(new.hash.to_hex()),
            registration_tokens::description.eq(&new.description),
            registration_tokens::project_id.eq(new.project.map(|project| project.0)),
            registration_tokens::created_by.eq(new.created_by.map(|user| user.0)),
            registration_tokens::single_use.eq(new.single_use),
            registration_tokens::created_at.eq(to_ms(now)),
            registration_tokens::expires_at.eq(new.expires_at.map(to_ms)),
        ))
        .returning(registration_tokens::id)
        .get_result(conn)?;
    read(
        registration_tokens::table
            .find(id)
            .select(COLUMNS)
            .first(conn)?,
    )
}

/// Looks up a registration token and records its use.
///
/// # Errors
/// `NotFound` if there is none, or it was revoked, has expired, or was used up.
pub fn redeem(
    conn: &mut Conn,
    hash: TokenHash,
    now: DateTime<Utc>,
) -> Result<Registration, StoreError> {
    let row: Row = registration_tokens::table
        .filter(registration_tokens::hash.eq(hash.to_hex()))
        .select(COLUMNS)
        .first(conn)
        .or_missing("registration token")?;
    let token = read(row)?;
    let expired = token.expires_at.is_some_and(|at| at <= now);
    if token.revoked_at.is_some() || expired {
        return Err(StoreError::NotFound("registration token"));
    }
    let unused = registration_tokens::table.find(token.id.0);
    let changed = if token.single_use {
        // The condition is part of the update, so that only one of two concurrent uses succeeds.
        diesel::update(unused.filter(registration_tokens::used_at.is_null()))
            .set(registration_tokens::used_at.eq(to_ms(now)))
            .execute(conn)?
    } else {
        diesel::update(unused)
            .set(registration_tokens::used_at.eq(to_ms(now)))
            .execute(conn)?
    };
    if changed == 0 {
        Err(StoreError::NotFound("registration token"))
    } else {
        Ok(token)
    }
}

/// Reads a registration token by its id.
///
/// # Errors
/// `NotFound` if it does not exist.
pub fn get(conn: &mut Conn, id: TokenId) -> Result<Registration, StoreError> {
    let row = registration_tokens::table
        .find(id.0)
        .select(COLUMNS)
        .first(conn);
    read(row.or_missing("registration token")?)
}

/// The tokens of a project, or those of shared runners, newest first.
pub fn list(
    conn: &mut Conn,
    project: Option<ProjectId>,
    page: Page,
) -> Result<Vec<Registration>, StoreError> {
    let query = registration_tokens::table
        .filter(registration_tokens::id.lt(page.below()))
        .order(registration_tokens::id.desc())
        .limit(rows(page.limit))
        .select(COLUMNS);
    let rows: Vec<Row> = match project {
        Some(project) => query
            .filter(registration_tokens::project_id.eq(project.0))
            .load(conn)?,
        None => query
            .filter(registration_tokens::project_id.is_null())
            .load(conn)?,
    };
    rows.into_iter().map(read).collect()
}

/// Revokes a registration token. Runners that it registered stay.
pub fn revoke(conn: &mut Conn, id: TokenId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let target = registration_tokens::table
        .find(id.0)
        .filter(registration_tokens::revoked_at.is_null());
    let changed = diesel::update(target)
        .set(registration_tokens::revoked_at.eq(to_ms(now)))
        .execute(conn)?;
    if changed == 0 {
        Err(StoreError::NotFound("registration token"))
    } else {
        Ok(())
    }
}

/// Revokes the registration tokens that a user created.
pub fn revoke_created_by(
    conn: &mut Conn,
    user: UserId,
    reach: Reach,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let theirs = registration_tokens::table
        .filter(registration_tokens::created_by.eq(user.0))
        .filter(registration_tokens::revoked_at.is_null());
    let revoked = registration_tokens::revoked_at.eq(to_ms(now));
    match reach {
        Reach::Project(id) => {
            diesel::update(theirs.filter(registration_tokens::project_id.eq(id.0)))
                .set(revoked)
                .execute(conn)?
        }
        Reach::Namespace(id) => {
            let of_namespace = projects::table
                .filter(projects::namespace_id.eq(id.0))
                .select(projects::id.nullable());
            diesel::update(theirs.filter(registration_tokens::project_id.eq_any(of_namespace)))
                .set(revoked)
                .execute(conn)?
        }
        Reach::Farm => diesel::update(theirs).set(revoked).execute(conn)?,
    };
    Ok(())
}

//! Users. That administrators may do everything is a rule of the farm, not of these rows.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::{Name, UserId};

use crate::engine::connection::Conn;
use crate::engine::page::{Page, rows};
use crate::engine::time::{from_ms, parse, to_ms};
use crate::error::{OrMissing, StoreError};
use crate::projects::row::lower;
use crate::schema::users;

/// A person or program that may call the farm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    /// Case is preserved, but names that differ only in case are the same.
    pub name: Name,
    /// Whether the user is an administrator.
    pub admin: bool,
    /// Whether the user's tokens work.
    pub active: bool,
    pub created_at: DateTime<Utc>,
}

pub(crate) type UserRow = (i64, String, bool, bool, i64, Option<String>);

pub(crate) fn read((id, name, admin, active, created_at, _): UserRow) -> Result<User, StoreError> {
    Ok(User {
        id: UserId(id),
        name: parse(&name, "user name")?,
        admin,
        active,
        created_at: from_ms(created_at)?,
    })
}

/// Creates an active user.
///
/// # Errors
/// `Conflict` if the name is taken.
pub fn insert(
    conn: &mut Conn,
    name: &Name,
    admin: bool,
    now: DateTime<Utc>,
) -> Result<User, StoreError> {
    let id: i64 = diesel::insert_into(users::table)
        .values((
            users::name.eq(name.as_str()),
            users::admin.eq(admin),
            users::active.eq(true),
            users::created_at.eq(to_ms(now)),
        ))
        .returning(users::id)
        .get_result(conn)?;
    get(conn, UserId(id))
}

/// Reads a user by its id.
///
/// # Errors
/// `NotFound` if it does not exist.
pub fn get(conn: &mut Conn, id: UserId) -> Result<User, StoreError> {
    read(users::table.find(id.0).first(conn).or_missing("user")?)
}

/// Reads a user by name.
pub fn by_name(conn: &mut Conn, name: &Name) -> Result<User, StoreError> {
    let row = users::table.filter(lower(users::name).eq(name.as_str().to_ascii_lowercase()));
    read(row.first(conn).or_missing("user")?)
}

/// Whether there is any user.
pub fn any(conn: &mut Conn) -> Result<bool, StoreError> {
    let first: Option<i64> = users::table.select(users::id).first(conn).optional()?;
    Ok(first.is_some())
}

/// The users, newest first.
pub fn list(conn: &mut Conn, page: Page) -> Result<Vec<User>, StoreError> {
    let rows = users::table
        .filter(users::id.lt(page.below()))
        .order(users::id.desc())
        .limit(rows(page.limit))
        .load(conn)?;
    rows.into_iter().map(read).collect()
}

/// All users, oldest first.
pub fn all(conn: &mut Conn) -> Result<Vec<User>, StoreError> {
    let rows = users::table.order(users::id).load(conn)?;
    rows.into_iter().map(read).collect()
}

/// The hash of a user's password; `None` if the user has no password.
pub fn password_hash(conn: &mut Conn, id: UserId) -> Result<Option<String>, StoreError> {
    let hash = users::table.find(id.0).select(users::password_hash);
    hash.first(conn).or_missing("user")
}

/// Sets a user's password hash, which must still be `seen`.
///
/// # Errors
/// `Stale` if it was changed meanwhile.
pub fn set_password_hash(
    conn: &mut Conn,
    id: UserId,
    seen: Option<&str>,
    hash: &str,
) -> Result<(), StoreError> {
    let user = users::table.find(id.0);
    let new = users::password_hash.eq(hash);
    let changed = match seen {
        Some(seen) => diesel::update(user.filter(users::password_hash.eq(seen)))
            .set(new)
            .execute(conn)?,
        // `=` never matches NULL, so a missing password needs a condition of its own.
        None => diesel::update(user.filter(users::password_hash.is_null()))
            .set(new)
            .execute(conn)?,
    };
    match changed {
        0 => Err(StoreError::Stale),
        _ => Ok(()),
    }
}

/// Deletes the password of a user, who cannot sign in until another one is set.
pub fn clear_password(conn: &mut Conn, id: UserId) -> Result<(), StoreError> {
    diesel::update(users::table.find(id.0))
        .set(users::password_hash.eq(None::<String>))
        .execute(conn)?;
    Ok(())
}

/// Changes whether a user is an administrator and active.
pub fn update(conn: &mut Conn, id: UserId, admin: bool, active: bool) -> Result<User, StoreError> {
    diesel::update(users::table.find(id.0))
        .set((users::admin.eq(admin), users::active.eq(active)))
        .execute(conn)?;
    get(conn, id)
}

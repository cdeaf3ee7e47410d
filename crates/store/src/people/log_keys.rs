//! The keys that log tokens are signed with, sealed.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::engine::connection::Conn;
use crate::engine::time::to_ms;
use crate::error::StoreError;
use crate::schema::log_keys;

/// An encrypted key that signs log tokens.
#[derive(Clone, Debug)]
pub struct StoredLogKey {
    /// The key id, which every token names.
    pub kid: String,
    pub sealed: String,
}

type KeyRow = (String, String);

fn read_key((kid, sealed): KeyRow) -> StoredLogKey {
    StoredLogKey { kid, sealed }
}

/// The key that signs now. Coordinators that start together may have created several; the newest
/// signs.
pub fn current(conn: &mut Conn) -> Result<Option<StoredLogKey>, StoreError> {
    let row: Option<KeyRow> = log_keys::table
        .filter(log_keys::retired_at.is_null())
        // The id decides between keys of the same millisecond, so that all coordinators agree.
        .order((log_keys::created_at.desc(), log_keys::kid))
        .select((log_keys::kid, log_keys::sealed))
        .first(conn)
        .optional()?;
    Ok(row.map(read_key))
}

/// A key by its id, unless it was retired before `since`.
pub fn find(
    conn: &mut Conn,
    kid: &str,
    since: DateTime<Utc>,
) -> Result<Option<StoredLogKey>, StoreError> {
    let is_good = log_keys::retired_at
        .is_null()
        .or(log_keys::retired_at.ge(to_ms(since)));
    let row: Option<KeyRow> = log_keys::table
        .filter(log_keys::kid.eq(kid).and(is_good))
        .select((log_keys::kid, log_keys::sealed))
        .first(conn)
        .optional()?;
    Ok(row.map(read_key))
}

/// Stores a key; it signs from now on.
pub fn insert(conn: &mut Conn, key: &StoredLogKey, now: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::insert_into(log_keys::table)
        .values((
            log_keys::kid.eq(&key.kid),
            log_keys::sealed.eq(&key.sealed),
            log_keys::created_at.eq(to_ms(now)),
        ))
        .execute(conn)?;
    Ok(())
}

/// Retires every key that signs, and deletes those that were retired before `since`.
pub fn retire(conn: &mut Conn, now: DateTime<Utc>, since: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::delete(log_keys::table.filter(log_keys::retired_at.lt(to_ms(since)))).execute(conn)?;
    diesel::update(log_keys::table.filter(log_keys::retired_at.is_null()))
        .set(log_keys::retired_at.eq(to_ms(now)))
        .execute(conn)?;
    Ok(())
}

//! Logins on their way from a browser to a command line.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::{ScopeSet, TokenHash, UserId};

use crate::engine::connection::Conn;
use crate::engine::time::{parse, to_ms};
use crate::error::{OrMissing, StoreError};
use crate::schema::cli_logins;

/// Stores a login under the hash of a secret until `expires_at`, and deletes expired logins. A
/// login under the same secret is replaced.
pub fn insert(
    conn: &mut Conn,
    secret: TokenHash,
    user: UserId,
    scopes: &ScopeSet,
    expires_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    // Expired logins are deleted here, so no periodic task has to do it.
    let ended = cli_logins::table.filter(
        cli_logins::expires_at
            .le(to_ms(now))
            .or(cli_logins::hash.eq(secret.to_hex())),
    );
    diesel::delete(ended).execute(conn)?;
    diesel::insert_into(cli_logins::table)
        .values((
            cli_logins::hash.eq(secret.to_hex()),
            cli_logins::user_id.eq(user.0),
            cli_logins::scopes.eq(scopes.to_list()),
            cli_logins::expires_at.eq(to_ms(expires_at)),
        ))
        .execute(conn)?;
    Ok(())
}

/// Takes the login that belongs to a secret. The secret works only once.
///
/// # Errors
/// `NotFound` if there is none, or it has expired.
pub fn take(
    conn: &mut Conn,
    secret: TokenHash,
    now: DateTime<Utc>,
) -> Result<(UserId, ScopeSet), StoreError> {
    let target = cli_logins::table
        .find(secret.to_hex())
        .filter(cli_logins::expires_at.gt(to_ms(now)));
    // Reading and deleting in one statement lets only one of two callers have the login.
    let (user, scopes): (i64, String) = diesel::delete(target)
        .returning((cli_logins::user_id, cli_logins::scopes))
        .get_result(conn)
        .or_missing("login")?;
    Ok((UserId(user), parse(&scopes, "scopes")?))
}

/// Deletes the logins of a user that nobody has taken.
pub fn delete_all_of(conn: &mut Conn, user: UserId) -> Result<(), StoreError> {
    diesel::delete(cli_logins::table.filter(cli_logins::user_id.eq(user.0))).execute(conn)?;
    Ok(())
}

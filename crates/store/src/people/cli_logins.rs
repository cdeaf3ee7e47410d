//! Logins on their way from a browser to a command line.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::{ScopeSet, TokenHash, UserId};

use crate::engine::connection::Conn;
use crate::engine::time::{parse, to_ms};
use crate::error::{OrMissing, StoreError};
use crate::schema::cli_logins;

/// Keeps a login for whoever has the secret, until `expires_at`, and forgets those whose time is
/// over. A secret that is kept already leads to the new login.
pub fn insert(
    conn: &mut Conn,
    secret: TokenHash,
    user: UserId,
    scopes: &ScopeSet,
    expires_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
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

/// Takes the login of a secret, which then leads to none.
///
/// # Errors
/// `NotFound` when there is none, or its time is over.
pub fn take(
    conn: &mut Conn,
    secret: TokenHash,
    now: DateTime<Utc>,
) -> Result<(UserId, ScopeSet), StoreError> {
    let target = cli_logins::table
        .find(secret.to_hex())
        .filter(cli_logins::expires_at.gt(to_ms(now)));
    let (user, scopes): (i64, String) = diesel::delete(target)
        .returning((cli_logins::user_id, cli_logins::scopes))
        .get_result(conn)
        .or_missing("login")?;
    Ok((UserId(user), parse(&scopes, "scopes")?))
}

//! Personal access tokens.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::{ScopeSet, TokenHash, TokenId, UserId};

use crate::engine::connection::Conn;
use crate::engine::page::{Page, rows};
use crate::engine::time::{from_ms, from_opt_ms, parse, to_ms};
use crate::error::{OrMissing, StoreError};
use crate::people::users::{self, User, UserRow};
use crate::schema::{access_tokens, users as user_table};

/// How far behind the recorded time of last use may be, so that most reads need no write.
const USE_PRECISION: TimeDelta = TimeDelta::minutes(1);

/// A personal access token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: TokenId,
    pub user: UserId,
    pub name: String,
    pub scopes: ScopeSet,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    /// Exact to one minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl Token {
    /// Whether it is valid at `now`.
    pub fn is_valid_at(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }

    /// Whether a use at `now` must be recorded.
    pub fn use_must_be_recorded(&self, now: DateTime<Utc>) -> bool {
        self.last_used_at.is_none_or(|at| now - at >= USE_PRECISION)
    }
}

/// The values of a new token.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub user: UserId,
    pub name: String,
    /// The hash of its secret.
    pub hash: TokenHash,
    pub scopes: ScopeSet,
    pub expires_at: Option<DateTime<Utc>>,
}

#[derive(Queryable)]
struct Row {
    id: i64,
    user_id: i64,
    name: String,
    _hash: String,
    scopes: String,
    created_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    last_used_at: Option<i64>,
}

impl TryFrom<Row> for Token {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: TokenId(row.id),
            user: UserId(row.user_id),
            name: row.name,
            scopes: parse(&row.scopes, "scopes")?,
            created_at: from_ms(row.created_at)?,
            expires_at: from_opt_ms(row.expires_at)?,
            revoked_at: from_opt_ms(row.revoked_at)?,
            last_used_at: from_opt_ms(row.last_used_at)?,
        })
    }
}

/// Creates a token.
///
/// # Errors
/// `Conflict` if the secret is already in use.
pub fn insert(conn: &mut Conn, new: &NewToken, now: DateTime<Utc>) -> Result<Token, StoreError> {
    let id: i64 = diesel::insert_into(access_tokens::table)
        .values((
            access_tokens::user_id.eq(new.user.0),
            access_tokens::name.eq(&new.name),
            access_tokens::hash.eq(new.hash.to_hex()),
            access_tokens::scopes.eq(new.scopes.to_list()),
            access_tokens::created_at.eq(to_ms(now)),
            access_tokens::expires_at.eq(new.expires_at.map(to_ms)),
        ))
        .returning(access_tokens::id)
        .get_result(conn)?;
    get(conn, TokenId(id))
}

/// Reads a token, also a revoked or expired one.
pub fn get(conn: &mut Conn, id: TokenId) -> Result<Token, StoreError> {
    access_tokens::table
        .find(id.0)
        .first::<Row>(conn)
        .or_missing("token")?
        .try_into()
}

/// Reads the token of a secret, also a revoked or expired one, and its user.
pub fn by_hash(conn: &mut Conn, hash: TokenHash) -> Result<(Token, User), StoreError> {
    let (token, user): (Row, UserRow) = access_tokens::table
        .inner_join(user_table::table.on(user_table::id.eq(access_tokens::user_id)))
        .filter(access_tokens::hash.eq(hash.to_hex()))
        .select((access_tokens::all_columns, user_table::all_columns))
        .first(conn)
        .or_missing("token")?;
    Ok((token.try_into()?, users::read(user)?))
}

/// The tokens of a user, newest first, without revoked ones.
pub fn of_user(conn: &mut Conn, user: UserId, page: Page) -> Result<Vec<Token>, StoreError> {
    let rows: Vec<Row> = access_tokens::table
        .filter(access_tokens::user_id.eq(user.0))
        .filter(access_tokens::revoked_at.is_null())
        .filter(access_tokens::id.lt(page.below()))
        .order(access_tokens::id.desc())
        .limit(rows(page.limit))
        .load(conn)?;
    rows.into_iter().map(Token::try_from).collect()
}

/// Revokes a token.
///
/// # Errors
/// `NotFound` if there is none, or it was already revoked.
pub fn revoke(conn: &mut Conn, id: TokenId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let target = access_tokens::table
        .find(id.0)
        .filter(access_tokens::revoked_at.is_null());
    let changed = diesel::update(target)
        .set(access_tokens::revoked_at.eq(to_ms(now)))
        .execute(conn)?;
    match changed {
        0 => Err(StoreError::NotFound("token")),
        _ => Ok(()),
    }
}

/// Revokes all tokens of a user that have this name.
pub fn revoke_named(
    conn: &mut Conn,
    user: UserId,
    name: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let targets = access_tokens::table
        .filter(access_tokens::user_id.eq(user.0))
        .filter(access_tokens::name.eq(name))
        .filter(access_tokens::revoked_at.is_null());
    diesel::update(targets)
        .set(access_tokens::revoked_at.eq(to_ms(now)))
        .execute(conn)?;
    Ok(())
}

/// Revokes all tokens of a user.
pub fn revoke_all(conn: &mut Conn, user: UserId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let targets = access_tokens::table
        .filter(access_tokens::user_id.eq(user.0))
        .filter(access_tokens::revoked_at.is_null());
    diesel::update(targets)
        .set(access_tokens::revoked_at.eq(to_ms(now)))
        .execute(conn)?;
    Ok(())
}

/// Lets a token expire at `at`, unless it expires before that.
pub fn end_by(conn: &mut Conn, id: TokenId, at: DateTime<Utc>) -> Result<(), StoreError> {
    let lasts_longer = access_tokens::expires_at
        .is_null()
        .or(access_tokens::expires_at.gt(to_ms(at)));
    diesel::update(access_tokens::table.find(id.0).filter(lasts_longer))
        .set(access_tokens::expires_at.eq(to_ms(at)))
        .execute(conn)?;
    Ok(())
}

/// Deletes the revoked and expired tokens of a user that have this name.
pub fn delete_invalid(
    conn: &mut Conn,
    user: UserId,
    name: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let ended = access_tokens::table
        .filter(access_tokens::user_id.eq(user.0))
        .filter(access_tokens::name.eq(name))
        .filter(
            access_tokens::revoked_at
                .is_not_null()
                .or(access_tokens::expires_at.le(to_ms(now))),
        );
    diesel::delete(ended).execute(conn)?;
    Ok(())
}

/// Records a use of a token, unless one was recorded within the last minute.
pub fn record_use(conn: &mut Conn, id: TokenId, now: DateTime<Utc>) -> Result<(), StoreError> {
    if get(conn, id)?.use_must_be_recorded(now) {
        diesel::update(access_tokens::table.find(id.0))
            .set(access_tokens::last_used_at.eq(to_ms(now)))
            .execute(conn)?;
    }
    Ok(())
}

//! Replacing a token while the old one still works, and revoking everything of a person at once.

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::access::Action;
use slipway_domain::{AccessToken, Name, TokenId};
use slipway_store::people::{self, User};
use slipway_store::tokens::{self, NewToken, Token};
use slipway_store::{Conn, StoreError, cli_logins, triggers};

use crate::access::authorize::Actor;
use crate::access::departures::end_all_runner_tokens;
use crate::access::tokens::{check_expiry, is_session_token};
use crate::error::FarmError;
use crate::farm::Farm;

/// The longest time for which a replaced token can stay valid.
pub const MAX_OVERLAP: TimeDelta = TimeDelta::days(30);

/// How a token is replaced.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// For how long the old token stays valid; it never lasts longer than it would have.
    pub overlap: TimeDelta,
    /// When the new token expires; without it, it lasts as long as the old one was meant to.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Farm {
    /// Replaces a token of the actor by a new one with the same name and scopes; administrators can
    /// replace any token. Every token can replace itself, but without the scope admin the new token
    /// expires no later than the old one.
    ///
    /// # Errors
    /// `NotFound` when the actor has no such token or it is not valid any more; `Forbidden` when the
    /// token that is used is another one without the scope admin, or the new one would outlive it;
    /// `Invalid` for a sign-in, for a time in the past, and for an overlap that is negative or longer
    /// than [`MAX_OVERLAP`].
    pub async fn rotate_token(
        &self,
        actor: &Actor,
        id: TokenId,
        rotation: Rotation,
    ) -> Result<(Token, AccessToken), FarmError> {
        let now = self.expiry_now();
        let old = self.read(move |conn| tokens::get(conn, id)).await?;
        // Tokens of other users must look as if they did not exist.
        let is_visible = old.user == actor.user || actor.admin;
        if !is_visible || !old.is_valid_at(now) {
            return Err(FarmError::NotFound("token"));
        }
        if id != actor.token() {
            actor.require(Action::ManageCredentials)?;
        }
        if is_session_token(&old) {
            let why = "a sign-in cannot be rotated: sign in again".to_owned();
            return Err(FarmError::Invalid(why));
        }
        if !(TimeDelta::zero()..=MAX_OVERLAP).contains(&rotation.overlap) {
            let why = format!(
                "the overlap must be 0 to {} seconds",
                MAX_OVERLAP.num_seconds()
            );
            return Err(FarmError::Invalid(why));
        }
        check_expiry(rotation.expires_at, now)?;
        let plain = AccessToken::from_entropy(self.inner.chance.bytes());
        let new = NewToken {
            user: old.user,
            name: old.name.clone(),
            hash: plain.hash(),
            scopes: old.scopes.clone(),
            expires_at: next_expiry(actor, &old, rotation, now)?,
        };
        let replace = move |conn: &mut Conn| {
            // It may have been revoked since it was read.
            if !tokens::get(conn, id)?.is_valid_at(now) {
                return Err(StoreError::NotFound("token"));
            }
            if rotation.overlap.is_zero() {
                tokens::revoke(conn, id, now)?;
            } else {
                tokens::end_by(conn, id, now + rotation.overlap)?;
            }
            tokens::insert(conn, &new, now)
        };
        let token = self.write(replace).await?;
        tracing::info!(token.id = %token.id, "Token {} replaces token {id}", token.id);
        Ok((token, plain))
    }

    /// Revokes everything with which the actor, or somebody who copied it, can act: its tokens, also
    /// the one that is used, its sign-ins, its logins on the way to a command line, the triggers and
    /// registration tokens that it created, and the runners tokens that it could read.
    ///
    /// # Errors
    /// `Forbidden` for tokens without the scope admin.
    pub async fn revoke_own_credentials(&self, actor: &Actor) -> Result<(), FarmError> {
        actor.require(Action::ManageCredentials)?;
        let (user, now) = (actor.user, self.expiry_now());
        let revoke = move |conn: &mut Conn| {
            let user = people::get(conn, user)?;
            revoke_all(conn, &user, now)
        };
        self.write(revoke).await?;
        tracing::info!(user.id = %user, "Revoked all credentials of user {user}");
        Ok(())
    }

    /// [`Farm::revoke_own_credentials`] for another user, whose password is deleted as well. Requires
    /// an administrator.
    ///
    /// # Errors
    /// `Forbidden`, also for oneself; `NotFound` when there is no such user.
    pub async fn revoke_credentials_of(&self, actor: &Actor, name: &Name) -> Result<(), FarmError> {
        self.admin(actor)?;
        if name == actor.name() {
            // Without password and tokens, nobody might be left to set another one.
            return Err(FarmError::Forbidden(
                "revoke your own credentials without naming yourself",
            ));
        }
        let (name, now) = (name.clone(), self.expiry_now());
        let revoke = move |conn: &mut Conn| {
            let user = people::by_name(conn, &name)?;
            people::clear_password(conn, user.id)?;
            revoke_all(conn, &user, now)?;
            Ok(user.id)
        };
        let user = self.write(revoke).await?;
        tracing::info!(user.id = %user, "Revoked all credentials of user {user}");
        Ok(())
    }
}

fn revoke_all(conn: &mut Conn, user: &User, now: DateTime<Utc>) -> Result<(), StoreError> {
    tokens::revoke_all(conn, user.id, now)?;
    cli_logins::delete_all_of(conn, user.id)?;
    triggers::revoke_created_by(conn, user.id, now)?;
    end_all_runner_tokens(conn, user, now)
}

/// When the token that replaces `old` expires.
fn next_expiry(
    actor: &Actor,
    old: &Token,
    rotation: Rotation,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, FarmError> {
    if actor.scopes().allows(Action::ManageCredentials) {
        let same_length = |at: DateTime<Utc>| {
            let end = now.checked_add_signed(at - old.created_at);
            end.unwrap_or(at)
        };
        return Ok(rotation.expires_at.or(old.expires_at.map(same_length)));
    }
    match (rotation.expires_at, old.expires_at) {
        (Some(new), Some(limit)) if new > limit => Err(FarmError::Forbidden(
            "without the scope admin, the new token cannot outlive the old one",
        )),
        (new, limit) => Ok(new.or(limit)),
    }
}

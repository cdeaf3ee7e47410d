//! Personal access tokens: made, listed, revoked. The plain token is told once.

use chrono::{DateTime, Utc};
use slipway_domain::{AccessToken, Name, Scope, ScopeSet, TokenId, UserId};
use slipway_store::tokens::{self, NewToken, Token};
use slipway_store::{Conn, Page, StoreError, people};

use crate::access::authorize::Actor;
use crate::error::FarmError;
use crate::farm::Farm;

/// The longest name of a token, in bytes.
const MAX_NAME: usize = 255;

/// The name of the tokens that signing in with a password makes.
pub(crate) const SESSION: &str = "session";

/// What somebody who makes a token asks for.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// What its user calls it.
    pub name: String,
    /// What it may be used for.
    pub scopes: ScopeSet,
    /// When it stops working.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Farm {
    /// Makes a token for the actor itself, and tells it this once.
    ///
    /// # Errors
    /// `Forbidden` when it would do more than the token that is used, or that one has not the
    /// scope admin; `Invalid` for a name or a time that cannot be.
    pub async fn create_token(
        &self,
        actor: &Actor,
        request: TokenRequest,
    ) -> Result<(Token, AccessToken), FarmError> {
        actor.require_scope(Scope::Admin)?;
        if !actor.scopes().covers(&request.scopes) {
            return Err(FarmError::Forbidden(
                "a token does no more than its maker's",
            ));
        }
        self.make_token(actor.user, request).await
    }

    /// Makes a token for another user, and tells it this once. Administrators do.
    ///
    /// # Errors
    /// `Forbidden` to everybody else; `NotFound` when there is no such user; `Invalid` for a name
    /// or a time that cannot be.
    pub async fn create_token_for(
        &self,
        actor: &Actor,
        user: &Name,
        request: TokenRequest,
    ) -> Result<(Token, AccessToken), FarmError> {
        self.admin(actor)?;
        let user = user.clone();
        let find = move |conn: &mut Conn| people::by_name(conn, &user);
        let user = self.read(find).await?;
        self.make_token(user.id, request).await
    }

    async fn make_token(
        &self,
        user: UserId,
        request: TokenRequest,
    ) -> Result<(Token, AccessToken), FarmError> {
        let now = self.now();
        check_name(&request.name)?;
        if request.name == SESSION {
            let why = format!("{SESSION} is what sign-ins call their tokens: take another name");
            return Err(FarmError::Invalid(why));
        }
        check_expiry(request.expires_at, now)?;
        let plain = AccessToken::from_entropy(self.inner.chance.bytes());
        let new = NewToken {
            user,
            name: request.name,
            hash: plain.hash(),
            scopes: request.scopes,
            expires_at: request.expires_at,
        };
        let insert = move |conn: &mut Conn| tokens::insert(conn, &new, now);
        let token = self.write(insert).await?;
        tracing::info!(token.id = %token.id, user.id = %user, "Access token {} is made", token.id);
        Ok((token, plain))
    }

    /// The actor's own tokens, newest first, without those that were revoked.
    ///
    /// # Errors
    /// None of its own.
    pub async fn tokens(&self, actor: &Actor, page: Page) -> Result<Vec<Token>, FarmError> {
        let user = actor.user;
        let list = move |conn: &mut Conn| tokens::of_user(conn, user, page);
        self.read(list).await
    }

    /// Revokes one of the actor's own tokens, from now on; administrators revoke anybody's. Every
    /// token may revoke itself.
    ///
    /// # Errors
    /// `NotFound` when the actor has no such token, `Forbidden` when the token that is used is
    /// neither that one nor has the scope admin.
    pub async fn revoke_token(&self, actor: &Actor, id: TokenId) -> Result<(), FarmError> {
        let (user, admin) = (actor.user, actor.admin);
        let find = move |conn: &mut Conn| {
            let token = tokens::get(conn, id)?;
            if token.user != user && !admin {
                return Err(StoreError::NotFound("token"));
            }
            Ok(())
        };
        self.read(find).await?;
        if id != actor.token() {
            actor.require_scope(Scope::Admin)?;
        }
        let now = self.now();
        let revoke = move |conn: &mut Conn| tokens::revoke(conn, id, now);
        self.write(revoke).await?;
        tracing::info!(token.id = %id, "Access token {id} is revoked");
        Ok(())
    }
}

/// Whether a token was made by signing in.
pub fn is_session_token(token: &Token) -> bool {
    token.name == SESSION
}

/// Checks what somebody calls a token.
pub(crate) fn check_name(name: &str) -> Result<(), FarmError> {
    if name.trim().is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
        let why = format!("a token's name has 1 to {MAX_NAME} bytes and no control characters");
        return Err(FarmError::Invalid(why));
    }
    Ok(())
}

/// Checks the end of a token's life.
pub(crate) fn check_expiry(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<(), FarmError> {
    if at.is_some_and(|at| at <= now) {
        let why = "expires_at must be in the future".to_owned();
        return Err(FarmError::Invalid(why));
    }
    Ok(())
}

//! Personal access tokens: create, list, revoke. The plain token is returned once.

use chrono::{DateTime, Utc};
use slipway_domain::access::Action;
use slipway_domain::{AccessToken, Name, ScopeSet, TokenId, UserId};
use slipway_store::tokens::{self, NewToken, Token};
use slipway_store::{Conn, Page, StoreError, people};

use crate::access::authorize::Actor;
use crate::error::FarmError;
use crate::farm::Farm;

/// The longest name of a token, in bytes.
pub const MAX_NAME: usize = 255;

/// The name of the tokens that sign-ins create.
pub(crate) const SESSION: &str = "session";

/// A token to create.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    pub name: String,
    pub scopes: ScopeSet,
    pub expires_at: Option<DateTime<Utc>>,
}

impl Farm {
    /// Creates a token for the actor.
    ///
    /// # Errors
    /// `Forbidden` when the new token would have scopes that the present one lacks, or the present one
    /// lacks the scope admin; `Invalid` for an invalid name or a time in the past.
    pub async fn create_token(
        &self,
        actor: &Actor,
        request: TokenRequest,
    ) -> Result<(Token, AccessToken), FarmError> {
        actor.require(Action::ManageCredentials)?;
        if !actor.scopes().covers(&request.scopes) {
            return Err(FarmError::Forbidden(
                "a token cannot have scopes that the token which creates it lacks",
            ));
        }
        self.insert_token(actor.user, request).await
    }

    /// Creates a token for another user. Requires an administrator.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` when there is no such user; `Invalid` for an invalid name or a time in
    /// the past.
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
        self.insert_token(user.id, request).await
    }

    async fn insert_token(
        &self,
        user: UserId,
        request: TokenRequest,
    ) -> Result<(Token, AccessToken), FarmError> {
        let now = self.expiry_now();
        check_name(&request.name)?;
        // Changing a password revokes all tokens with this name, so others must not have it.
        if request.name == SESSION {
            let why = format!("the name {SESSION} is reserved for sign-ins: choose another one");
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
        tracing::info!(token.id = %token.id, user.id = %user, "Created access token {}", token.id);
        Ok((token, plain))
    }

    /// The tokens of the actor, newest first, without revoked ones.
    pub async fn tokens(&self, actor: &Actor, page: Page) -> Result<Vec<Token>, FarmError> {
        let user = actor.user;
        let list = move |conn: &mut Conn| tokens::of_user(conn, user, page);
        self.read(list).await
    }

    /// Revokes a token of the actor; administrators can revoke any token. Every token can revoke
    /// itself.
    ///
    /// # Errors
    /// `NotFound` when the actor has no such token, `Forbidden` when the token that is used is another
    /// one without the scope admin.
    pub async fn revoke_token(&self, actor: &Actor, id: TokenId) -> Result<(), FarmError> {
        let (user, admin) = (actor.user, actor.admin);
        let find = move |conn: &mut Conn| {
            let token = tokens::get(conn, id)?;
            // Tokens of other users must look as if they did not exist.
            if token.user != user && !admin {
                return Err(StoreError::NotFound("token"));
            }
            Ok(())
        };
        self.read(find).await?;
        // A token without the scope admin may still revoke itself, for instance when it leaked.
        if id != actor.token() {
            actor.require(Action::ManageCredentials)?;
        }
        let now = self.expiry_now();
        let revoke = move |conn: &mut Conn| tokens::revoke(conn, id, now);
        self.write(revoke).await?;
        tracing::info!(token.id = %id, "Revoked access token {id}");
        Ok(())
    }
}

/// Whether a token was created by signing in.
pub fn is_session_token(token: &Token) -> bool {
    token.name == SESSION
}

/// Checks the name of a token.
pub(crate) fn check_name(name: &str) -> Result<(), FarmError> {
    if name.trim().is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
        let why = format!(
            "the name of a token must have 1 to {MAX_NAME} bytes and no control characters"
        );
        return Err(FarmError::Invalid(why));
    }
    Ok(())
}

/// Checks that the expiry of a token is in the future.
pub(crate) fn check_expiry(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<(), FarmError> {
    if at.is_some_and(|at| at <= now) {
        let why = "expires_at must be in the future".to_owned();
        return Err(FarmError::Invalid(why));
    }
    Ok(())
}

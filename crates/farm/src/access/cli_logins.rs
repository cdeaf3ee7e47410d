//! Logins of the command line through the browser: by a code that the user copies, or by a nonce that
//! the command line created and polls with.

use chrono::TimeDelta;
use slipway_domain::AccessToken;
use slipway_domain::access::Action;
use slipway_domain::tokens::LoginCode;
use slipway_store::tokens::{self, NewToken};
use slipway_store::{Conn, cli_logins};

use crate::access::authorize::Actor;
use crate::access::passwords::SESSION_LASTS;
use crate::access::tokens::SESSION;
use crate::error::FarmError;
use crate::farm::Farm;

/// The lifetime of a code.
const CODE_LASTS: TimeDelta = TimeDelta::minutes(5);
/// For how long the command line can claim a login by its nonce.
const NONCE_LASTS: TimeDelta = TimeDelta::seconds(60);
/// The longest nonce, in bytes.
const MAX_NONCE: usize = 1024;

impl Farm {
    /// Creates a code that logs a command line in as the actor.
    ///
    /// # Errors
    /// `Forbidden` for tokens without the scope admin.
    pub async fn create_login_code(&self, actor: &Actor) -> Result<LoginCode, FarmError> {
        let code = LoginCode::from_entropy(self.inner.chance.bytes());
        self.insert_login(actor, &code, CODE_LASTS).await?;
        Ok(code)
    }

    /// Logs the command line that created `nonce` in as the actor.
    ///
    /// # Errors
    /// `Forbidden` for tokens without the scope admin; `Invalid` for an empty or too long nonce.
    pub async fn offer_login(&self, actor: &Actor, nonce: &str) -> Result<(), FarmError> {
        if nonce.trim().is_empty() || nonce.len() > MAX_NONCE {
            let why = format!("a nonce must have 1 to {MAX_NONCE} bytes");
            return Err(FarmError::Invalid(why));
        }
        self.insert_login(actor, &code_of(nonce), NONCE_LASTS).await
    }

    async fn insert_login(
        &self,
        actor: &Actor,
        code: &LoginCode,
        lasts: TimeDelta,
    ) -> Result<(), FarmError> {
        // The new session gets all scopes of this token, so a lesser one must not create it.
        actor.require(Action::ManageCredentials)?;
        let (hash, user, now) = (code.hash(), actor.user, self.expiry_now());
        let scopes = actor.scopes().clone();
        let insert =
            move |conn: &mut Conn| cli_logins::insert(conn, hash, user, &scopes, now + lasts, now);
        self.write(insert).await
    }

    /// Exchanges a code for the token of a new session.
    ///
    /// # Errors
    /// `BadToken` when the code is invalid, was used or has expired.
    pub async fn redeem_login(&self, code: &LoginCode) -> Result<AccessToken, FarmError> {
        let (hash, now) = (code.hash(), self.expiry_now());
        let plain = AccessToken::from_entropy(self.inner.chance.bytes());
        let token = plain.hash();
        let take = move |conn: &mut Conn| {
            let (user, scopes) = cli_logins::take(conn, hash, now)?;
            let new = NewToken {
                user,
                name: SESSION.to_owned(),
                hash: token,
                scopes,
                expires_at: Some(now + SESSION_LASTS),
            };
            tokens::delete_invalid(conn, user, SESSION, now)?;
            tokens::insert(conn, &new, now)
        };
        match self.write(take).await {
            Ok(_) => Ok(plain),
            Err(FarmError::NotFound(_)) => Err(FarmError::BadToken),
            Err(error) => Err(error),
        }
    }

    /// [`Farm::redeem_login`], for the command line that created `nonce`.
    ///
    /// # Errors
    /// As [`Farm::redeem_login`].
    pub async fn claim_login(&self, nonce: &str) -> Result<AccessToken, FarmError> {
        self.redeem_login(&code_of(nonce)).await
    }
}

/// The code that a nonce is stored as. The prefix keeps nonces from being used as codes.
fn code_of(nonce: &str) -> LoginCode {
    LoginCode::presented(format!("nonce {nonce}"))
}

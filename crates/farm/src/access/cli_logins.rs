//! A login on its way from a browser to a command line: by a code that somebody carries over, or by
//! a word that the command line made up and waits on.

use chrono::TimeDelta;
use slipway_domain::tokens::LoginCode;
use slipway_domain::{AccessToken, Scope};
use slipway_store::tokens::{self, NewToken};
use slipway_store::{Conn, cli_logins};

use crate::access::authorize::Actor;
use crate::access::passwords::SESSION_LASTS;
use crate::access::tokens::SESSION;
use crate::error::FarmError;
use crate::farm::Farm;

/// How long a code leads to its login.
const CODE_LASTS: TimeDelta = TimeDelta::minutes(5);
/// How long a login waits for the command line that asks for it.
const NONCE_LASTS: TimeDelta = TimeDelta::seconds(60);
/// The longest word of a command line, in bytes.
const MAX_NONCE: usize = 1024;

impl Farm {
    /// A code for the actor's login, to be carried over to a command line.
    ///
    /// # Errors
    /// `Forbidden` to tokens without the scope admin.
    pub async fn create_login_code(&self, actor: &Actor) -> Result<LoginCode, FarmError> {
        let code = LoginCode::from_entropy(self.inner.chance.bytes());
        self.keep_login(actor, &code, CODE_LASTS).await?;
        Ok(code)
    }

    /// Leaves the actor's login to the command line that made `nonce` up.
    ///
    /// # Errors
    /// `Forbidden` to tokens without the scope admin; `Invalid` for a word that none makes up.
    pub async fn offer_login(&self, actor: &Actor, nonce: &str) -> Result<(), FarmError> {
        if nonce.trim().is_empty() || nonce.len() > MAX_NONCE {
            let why = format!("a nonce has 1 to {MAX_NONCE} bytes");
            return Err(FarmError::Invalid(why));
        }
        self.keep_login(actor, &code_of(nonce), NONCE_LASTS).await
    }

    async fn keep_login(
        &self,
        actor: &Actor,
        code: &LoginCode,
        lasts: TimeDelta,
    ) -> Result<(), FarmError> {
        actor.require_scope(Scope::Admin)?;
        let (hash, user, now) = (code.hash(), actor.user, self.now());
        let scopes = actor.scopes().clone();
        let keep =
            move |conn: &mut Conn| cli_logins::insert(conn, hash, user, &scopes, now + lasts, now);
        self.write(keep).await
    }

    /// The token of a new session for whoever has the code.
    ///
    /// # Errors
    /// `BadToken` when it leads to no login, any more.
    pub async fn redeem_login(&self, code: &LoginCode) -> Result<AccessToken, FarmError> {
        let (hash, now) = (code.hash(), self.now());
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

    /// [`Farm::redeem_login`], for the command line that made `nonce` up.
    ///
    /// # Errors
    /// As [`Farm::redeem_login`].
    pub async fn claim_login(&self, nonce: &str) -> Result<AccessToken, FarmError> {
        self.redeem_login(&code_of(nonce)).await
    }
}

/// What stands for a word that a command line made up: nothing that is a code itself.
fn code_of(nonce: &str) -> LoginCode {
    LoginCode::presented(format!("nonce {nonce}"))
}

//! Passwords, and signing in with one. Everything else uses tokens.
//!
//! Passwords are stored as argon2id hashes. Hashing takes memory and time on purpose, so it runs on
//! separate threads, and only a few passwords are hashed at the same time.

use std::net::IpAddr;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use chrono::TimeDelta;
use slipway_domain::access::Action;
use slipway_domain::{AccessToken, Name, Scope, ScopeSet, UserId};
use slipway_store::people::{self, User};
use slipway_store::tokens::{self, NewToken};
use slipway_store::{Conn, StoreError};

use crate::access::authorize::Actor;
use crate::access::tokens::SESSION;
use crate::error::FarmError;
use crate::farm::Farm;

/// The shortest password, in characters.
pub const MIN_CHARACTERS: usize = 12;
/// The longest password, in bytes.
pub const MAX_BYTES: usize = 1024;
/// The lifetime of a session token.
pub(crate) const SESSION_LASTS: TimeDelta = TimeDelta::days(30);
/// The hash to verify against when there is no password, so that this takes as long. Its password is
/// unknown, and its parameters are those of all other hashes.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2xpcHdheS1kZWNveS0xNg$\
                     gVkkOogjtq3EynAu1tdswFOBTpi7Gkk15cFTA471NjU";

impl Farm {
    /// Signs a user in with a password, and returns the token of the new session. `from` is the address
    /// of the client.
    ///
    /// # Errors
    /// `TooManyAttempts` when there were too many for this account or from this address. Otherwise
    /// `BadToken` when the user does not exist, is blocked or has no password, or the password is
    /// wrong. All cases take the same time, so that nobody learns which it was.
    pub async fn sign_in(
        &self,
        login: &str,
        password: &str,
        from: IpAddr,
    ) -> Result<(User, AccessToken), FarmError> {
        // Unknown accounts are counted like others, so that the answer does not reveal them.
        let attempt = self.inner.sign_ins.attempt(login, from);
        attempt.map_err(FarmError::too_many_attempts)?;
        let name: Option<Name> = login.parse().ok();
        let find = move |conn: &mut Conn| {
            let Some(name) = name else { return Ok(None) };
            let user = match people::by_name(conn, &name) {
                Err(StoreError::NotFound(_)) => return Ok(None),
                found => found?,
            };
            let hash = people::password_hash(conn, user.id)?;
            Ok(Some((user, hash)))
        };
        let (user, hash) = match self.read(find).await? {
            Some((user, hash)) => (Some(user), hash),
            None => (None, None),
        };
        // A decoy is verified for unknown users, so that the time does not reveal which names
        // exist.
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| DECOY.to_owned());
        let matches = self.verify(password, hash.clone()).await?;
        let user = match user {
            Some(user) if is_known && matches && user.active => user,
            _ => return Err(FarmError::BadToken),
        };
        let token = self.create_session(user.id, hash).await?;
        tracing::info!(user.id = %user.id, "User {} signed in", user.id);
        Ok((user, token))
    }

    /// Creates the token of a session, unless the password with the hash `seen` was changed.
    async fn create_session(&self, user: UserId, seen: String) -> Result<AccessToken, FarmError> {
        let now = self.expiry_now();
        let plain = AccessToken::from_entropy(self.inner.chance.bytes());
        let new = NewToken {
            user,
            name: SESSION.to_owned(),
            hash: plain.hash(),
            scopes: ScopeSet::new(Scope::ALL.iter().copied())?,
            expires_at: Some(now + SESSION_LASTS),
        };
        let create = move |conn: &mut Conn| {
            // The password may have been changed while the old one was verified; its sessions are
            // revoked then, and a new one must not appear.
            if people::password_hash(conn, user)?.as_ref() != Some(&seen) {
                return Ok(false);
            }
            tokens::delete_invalid(conn, user, SESSION, now)?;
            tokens::insert(conn, &new, now)?;
            Ok(true)
        };
        if self.write(create).await? {
            Ok(plain)
        } else {
            Err(FarmError::BadToken)
        }
    }

    /// Changes the password of the actor, and revokes its sessions. `old` is the present password, if
    /// there is one.
    ///
    /// # Errors
    /// `Forbidden` when `old` is wrong, and for tokens without the scope admin; `Invalid` for a
    /// password that is too short or too long.
    pub async fn change_password(
        &self,
        actor: &Actor,
        old: Option<&str>,
        new: &str,
    ) -> Result<(), FarmError> {
        actor.require(Action::ManageCredentials)?;
        check_password(new)?;
        let user = actor.user;
        let find = move |conn: &mut Conn| people::password_hash(conn, user);
        let seen = self.read(find).await?;
        if let Some(hash) = seen.clone() {
            let old = old.ok_or(FarmError::Forbidden(PRESENT_PASSWORD))?;
            let attempt = self.inner.sign_ins.attempt_of_user(user);
            attempt.map_err(FarmError::too_many_attempts)?;
            if !self.verify(old, hash).await? {
                return Err(FarmError::Forbidden(PRESENT_PASSWORD));
            }
        }
        self.store_password(user, seen, new).await
    }

    /// Sets the password of another user, and revokes its sessions. Requires an administrator.
    ///
    /// # Errors
    /// `Forbidden`, also for oneself; `NotFound` when there is no such user; `Invalid` for a password
    /// that is too short or too long.
    pub async fn set_password_of(
        &self,
        actor: &Actor,
        user: &Name,
        new: &str,
    ) -> Result<(), FarmError> {
        self.admin(actor)?;
        check_password(new)?;
        let user = user.clone();
        let find = move |conn: &mut Conn| {
            let user = people::by_name(conn, &user)?;
            Ok((user.id, people::password_hash(conn, user.id)?))
        };
        let (user, seen) = self.read(find).await?;
        // Administrators change their own password by proving that they know the present one.
        if user == actor.user {
            return Err(FarmError::Forbidden(PRESENT_PASSWORD));
        }
        self.store_password(user, seen, new).await
    }

    /// Whether the actor has a password.
    pub async fn has_password(&self, actor: &Actor) -> Result<bool, FarmError> {
        let user = actor.user;
        let find = move |conn: &mut Conn| people::password_hash(conn, user);
        Ok(self.read(find).await?.is_some())
    }

    async fn store_password(
        &self,
        user: UserId,
        seen: Option<String>,
        new: &str,
    ) -> Result<(), FarmError> {
        let (new, salt) = (new.to_owned(), self.inner.chance.bytes::<16>());
        let hash = self.with_permit(move || hash(&new, &salt)).await??;
        let now = self.expiry_now();
        let write = move |conn: &mut Conn| {
            people::set_password_hash(conn, user, seen.as_deref(), &hash)?;
            tokens::revoke_named(conn, user, SESSION, now)
        };
        self.write(write).await?;
        tracing::info!(user.id = %user, "Changed the password of user {user}");
        Ok(())
    }

    /// Whether `password` has the hash `hash`.
    async fn verify(&self, password: &str, hash: String) -> Result<bool, FarmError> {
        // Passwords that cannot be set are not hashed: long ones could keep the farm busy.
        let password = match password.len() {
            0..=MAX_BYTES => password.to_owned(),
            _ => String::new(),
        };
        self.with_permit(move || verify(&password, &hash)).await?
    }

    /// Runs work that hashes on a thread for blocking work, once there is a permit.
    async fn with_permit<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, FarmError> {
        let permit = self.inner.hashing_permits.acquire().await;
        let permit = permit.ok_or_else(|| {
            FarmError::Unavailable("too many passwords wait to be checked".to_owned())
        })?;
        // Hashing takes tens of milliseconds, which would stall the threads that serve requests. It
        // cannot be stopped, so the permit goes with it: a client that hangs up frees nothing.
        let hashing = move || {
            let _permit = permit;
            work()
        };
        let done = tokio::task::spawn_blocking(hashing).await;
        done.map_err(|error| FarmError::Internal(Box::new(error)))
    }
}

const PRESENT_PASSWORD: &str = "this needs your present password";

fn check_password(password: &str) -> Result<(), FarmError> {
    if password.chars().count() < MIN_CHARACTERS || password.len() > MAX_BYTES {
        let why = format!(
            "a password must have at least {MIN_CHARACTERS} characters and at most {MAX_BYTES} bytes"
        );
        return Err(FarmError::Invalid(why));
    }
    Ok(())
}

fn hash(password: &str, salt: &[u8]) -> Result<String, FarmError> {
    let hash: PasswordHash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), salt)
        .map_err(|error| FarmError::Internal(error.to_string().into()))?;
    Ok(hash.to_string())
}

fn verify(password: &str, hash: &str) -> Result<bool, FarmError> {
    let hash = PasswordHash::new(hash)
        .map_err(|_| FarmError::Internal("a stored password hash is invalid".into()))?;
    let verified = Argon2::default().verify_password(password.as_bytes(), &hash);
    Ok(verified.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_matches_its_hash() {
        let stored = hash("correct horse battery", &[7; 16]).unwrap();
        assert!(!stored.contains("horse"));
        assert!(verify("correct horse battery", &stored).unwrap());
        assert!(!verify("correct horse batterx", &stored).unwrap());
    }

    #[test]
    fn the_decoy_has_the_parameters_of_real_hashes_and_matches_nothing() {
        let stored = hash("correct horse battery", &[7; 16]).unwrap();
        let parameters = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(parameters(DECOY), parameters(&stored));
        assert_eq!(DECOY.len(), stored.len());
        assert!(!verify("", DECOY).unwrap());
    }

    #[test]
    fn too_short_and_too_long_passwords_are_refused() {
        assert!(check_password("elf letters").is_err());
        assert!(check_password("zwölf Zeichen").is_ok());
        assert!(check_password(&"x".repeat(MAX_BYTES + 1)).is_err());
    }
}

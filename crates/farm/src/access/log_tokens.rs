//! Log tokens: each one lets its holder follow the traces of one build for an hour, and nothing else.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use slipway_domain::{BuildUuid, JobId, JobUuid};
use slipway_store::log_keys::{self, StoredLogKey};
use slipway_store::{Conn, StoreError, builds, jobs};

use crate::access::authorize::Actor;
use crate::crypto::jwt;
use crate::crypto::log_key::LogKey;
use crate::error::FarmError;
use crate::farm::Farm;
use slipway_store::builds::Build;

/// The lifetime of a token, in seconds.
const LIFETIME_S: i64 = 3600;
/// The audience of log tokens, which no other token of the farm has.
const AUDIENCE: &str = "slipway:log";
/// The issuer of tokens when the farm has no public URL.
const DEFAULT_ISSUER: &str = "slipway";

/// A token for the traces of one build.
pub struct LogToken {
    text: String,
    pub expires_at: DateTime<Utc>,
}

impl LogToken {
    /// The plain text, for the one response that hands the token out.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for LogToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogToken(..)")
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: BuildUuid,
    iat: i64,
    exp: i64,
    jti: String,
}

impl Farm {
    /// Creates a token for the traces of a build. The caller checks that the actor may read them.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn log_token(&self, build: &Build) -> Result<LogToken, FarmError> {
        let key = self.signing_key().await?;
        // Tokens count in whole seconds, so the returned expiry must too.
        let iat = self.expiry_now().timestamp();
        let exp = iat + LIFETIME_S;
        let claims = Claims {
            iss: self.issuer().to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: build.uuid,
            iat,
            exp,
            jti: hex::encode(self.inner.chance.bytes::<16>()),
        };
        Ok(LogToken {
            text: jwt::sign(&key.kid, &key.secret, &claims)
                .map_err(|error| FarmError::Internal(Box::new(error)))?,
            expires_at: DateTime::from_timestamp(exp, 0).unwrap_or_default(),
        })
    }

    /// The job with the UUID `job` in the build of a log token.
    ///
    /// # Errors
    /// `BadToken` when the token is invalid or has expired; `NotFound` when its build has no such
    /// job.
    pub async fn job_by_log_token(&self, token: &str, job: &str) -> Result<JobId, FarmError> {
        let build = self.build_of_log_token(token).await?;
        let missing = FarmError::NotFound("job");
        // The token is checked first: without a valid one nobody learns whether the job exists.
        let Ok(name) = job.parse::<JobUuid>() else {
            return Err(missing);
        };
        let find = move |conn: &mut Conn| {
            let id = builds::by_uuid(conn, build)?.id;
            let jobs = jobs::of_build(conn, id)?;
            Ok(jobs
                .into_iter()
                .find(|job| JobUuid::of(build, job.id) == name))
        };
        let found = self.read(find).await?;
        found.map(|job| job.id).ok_or(missing)
    }

    async fn build_of_log_token(&self, token: &str) -> Result<BuildUuid, FarmError> {
        let token = jwt::read(token).ok_or(FarmError::BadToken)?;
        let key = self.log_key(&token.kid).await?;
        let claims: Claims = key
            .and_then(|key| token.claims(&key.secret))
            .ok_or(FarmError::BadToken)?;
        // A token of another farm with the same key, or made for another purpose, is refused.
        let is_meant = claims.aud == AUDIENCE && claims.iss == self.issuer();
        // In milliseconds: with whole seconds the token would be valid up to a second too long.
        let is_unexpired = self.expiry_now().timestamp_millis() < claims.exp.saturating_mul(1000);
        if is_meant && is_unexpired {
            Ok(claims.sub)
        } else {
            Err(FarmError::BadToken)
        }
    }

    fn issuer(&self) -> &str {
        let url = self.inner.settings.public_url.as_deref();
        url.map_or(DEFAULT_ISSUER, |url| url.trim_end_matches('/'))
    }

    /// Creates a new key to sign with. Tokens that older keys signed stay valid until they expire.
    /// Requires an administrator.
    ///
    /// # Errors
    /// `Forbidden`; `Conflict` when the keys are configured.
    pub async fn rotate_log_keys(&self, actor: &Actor) -> Result<(), FarmError> {
        self.admin(actor)?;
        if !self.inner.settings.log_keys.is_empty() {
            let why = "the keys of log tokens are set in the configuration";
            return Err(FarmError::Conflict(why.to_owned()));
        }
        // Retired keys are kept until the last token that they signed has expired.
        let (now, since) = (self.expiry_now(), self.accepted_since());
        let (_, stored) = self.new_log_key();
        tracing::info!(key.id = stored.kid, "Created a new key for log tokens");
        let write = move |conn: &mut Conn| {
            log_keys::retire(conn, now, since)?;
            log_keys::insert(conn, &stored, now)
        };
        self.write(write).await
    }

    /// Creates the first key, unless there is one. It is stored even if the keys are configured,
    /// because it shows at the next start whether the seal key is the right one.
    pub(crate) async fn ensure_log_key(&self) -> Result<(), FarmError> {
        self.stored_key().await.map(drop)
    }

    async fn signing_key(&self) -> Result<LogKey, FarmError> {
        match self.inner.settings.log_keys.first() {
            Some(key) => Ok(key.clone()),
            None => self.stored_key().await,
        }
    }

    async fn stored_key(&self) -> Result<LogKey, FarmError> {
        if let Some(stored) = self.read(log_keys::current).await? {
            return self.opened(&stored);
        }
        let now = self.expiry_now();
        let (key, stored) = self.new_log_key();
        // Another coordinator may create the first key at the same time; then its key is used.
        let write = move |conn: &mut Conn| -> Result<Option<StoredLogKey>, StoreError> {
            let held = log_keys::current(conn)?;
            if held.is_none() {
                log_keys::insert(conn, &stored, now)?;
            }
            Ok(held)
        };
        match self.write(write).await? {
            Some(held) => self.opened(&held),
            None => Ok(key),
        }
    }

    async fn log_key(&self, kid: &str) -> Result<Option<LogKey>, FarmError> {
        let given = &self.inner.settings.log_keys;
        if !given.is_empty() {
            return Ok(given.iter().find(|key| key.kid == kid).cloned());
        }
        let (kid, since) = (kid.to_owned(), self.accepted_since());
        let find = move |conn: &mut Conn| log_keys::find(conn, &kid, since);
        let stored = self.read(find).await?;
        stored.map(|stored| self.opened(&stored)).transpose()
    }

    /// All tokens of keys that were retired before this time have expired.
    fn accepted_since(&self) -> DateTime<Utc> {
        self.expiry_now() - TimeDelta::seconds(LIFETIME_S)
    }

    fn new_log_key(&self) -> (LogKey, StoredLogKey) {
        let key = LogKey {
            kid: hex::encode(self.inner.chance.bytes::<8>()),
            secret: self.inner.chance.bytes(),
        };
        let plain = hex::encode(key.secret);
        let (context, nonce) = (seal_context(&key.kid), self.inner.chance.bytes());
        let stored = StoredLogKey {
            kid: key.kid.clone(),
            sealed: self.inner.seal.seal(&context, &plain, nonce),
        };
        (key, stored)
    }

    fn opened(&self, stored: &StoredLogKey) -> Result<LogKey, FarmError> {
        let plain = self
            .inner
            .seal
            .open(&seal_context(&stored.kid), &stored.sealed)?;
        let mut secret = [0; 32];
        hex::decode_to_slice(plain, &mut secret)
            .map_err(|error| FarmError::Internal(Box::new(error)))?;
        Ok(LogKey {
            kid: stored.kid.clone(),
            secret,
        })
    }
}

/// The context that a log key is sealed for.
pub(crate) fn seal_context(kid: &str) -> String {
    format!("log key:{kid}")
}

//! Errors of the use cases. Each dialect maps each variant to its own answer.

use std::time::Duration;

use slipway_blobs::BlobError;
use slipway_domain::{InvalidTransition, names::Invalid, pipeline::DefinitionError};
use slipway_store::StoreError;

use crate::crypto::seal::UnsealError;

/// Why a use case failed.
#[derive(Debug, thiserror::Error)]
pub enum FarmError {
    /// The token is missing or nobody has it.
    #[error("the token is missing, unknown or expired")]
    BadToken,
    /// The token was valid once, but has expired or was revoked.
    #[error("the token is missing, unknown or expired")]
    EndedToken,
    /// The caller may see the thing but not do this to it.
    #[error("{0}")]
    Forbidden(&'static str),
    /// There is no such thing, or the caller may not see it.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The request is invalid; the text says what was expected.
    #[error("{0}")]
    Invalid(String),
    /// The runner could never claim a job.
    #[error("a runner without tags that refuses jobs without tags could never claim a job")]
    IdleForEver,
    /// The request is valid, but not in the present state.
    #[error("{0}")]
    Conflict(String),
    /// The sources of a build are no longer stored, so it cannot be retried.
    #[error("the sources are no longer stored; send them again")]
    SourcesGone,
    /// The state of the job does not allow this.
    #[error("the job is {} and does not allow this", .0.from.name())]
    Refused(InvalidTransition),
    /// The namespace has reached its limit of unfinished builds.
    #[error("the namespace has reached its limit of unfinished builds")]
    TooManyBuilds,
    /// Somebody tries passwords too often.
    #[error("too many attempts; try again in {} seconds", .retry_after.as_secs())]
    TooManyAttempts {
        /// When the next attempt is allowed.
        retry_after: Duration,
    },
    /// The project accepts no changes.
    #[error("the project is read-only")]
    ReadOnly,
    #[error("the job was erased")]
    Erased,
    /// A chunk does not begin where the stored trace ends.
    #[error("the stored trace has {held} bytes; continue from there")]
    TraceGap {
        /// The length of the stored trace, in bytes.
        held: u64,
    },
    /// The body is larger than the limit, in bytes.
    #[error("more than the limit of {limit} bytes")]
    TooLarge { limit: u64 },
    /// The files of a project, or the uploads of a user, have reached their limit.
    #[error("the files of this {owner} have reached their limit of {limit} bytes; delete some")]
    StorageFull {
        /// `project` or `user`.
        owner: &'static str,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The database refers to stored bytes that the blob storage does not have, or not all of them.
    #[error("{what} is missing in the storage of the farm; ask its operator to restore it")]
    ContentMissing {
        /// What is missing, for the caller, such as "the file `dist.zip` of job 7".
        what: String,
        /// Why, with the key of the blob, for the log.
        why: String,
    },
    /// A disk of the farm is full, or almost.
    #[error("the disk of the farm is full; try again when its operator has made space")]
    DiskFull,
    /// Something that the farm needs is unreachable; the same request may succeed later.
    #[error("the farm cannot do this now; try again later")]
    Unavailable(String),
    /// A git host does not answer in time, or git does not work on the coordinator's host. The text is
    /// for the caller.
    #[error("{0}")]
    SourceUnavailable(String),
    /// A bug, or data that was changed from outside.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for FarmError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => FarmError::NotFound(what),
            StoreError::Conflict(what) => FarmError::Conflict(what.to_owned()),
            StoreError::SourcesGone => FarmError::SourcesGone,
            StoreError::ReadOnly => FarmError::ReadOnly,
            StoreError::Refused(refused) => FarmError::Refused(refused),
            StoreError::Stale => {
                FarmError::Conflict("it changed in the meantime; try again".to_owned())
            }
            StoreError::TraceGap { held } => FarmError::TraceGap { held },
            StoreError::Erased => FarmError::Erased,
            StoreError::DiskFull(_) => FarmError::DiskFull,
            StoreError::Unavailable(why) => FarmError::Unavailable(why),
            error @ (StoreError::Corrupt(_)
            | StoreError::NewerDatabase { .. }
            | StoreError::Database(_)) => FarmError::Internal(Box::new(error)),
        }
    }
}

impl From<UnsealError> for FarmError {
    fn from(error: UnsealError) -> Self {
        FarmError::Internal(Box::new(error))
    }
}

impl From<BlobError> for FarmError {
    fn from(error: BlobError) -> Self {
        match error {
            // Where it is known what the bytes are, `FarmError::missing` names it.
            BlobError::NotFound { .. } | BlobError::Incomplete { .. } => {
                FarmError::missing("a stored file")(error)
            }
            BlobError::DiskFull { .. } => FarmError::DiskFull,
            other @ (BlobError::OutOfRange { .. }
            | BlobError::InvalidKey { .. }
            | BlobError::Unusable { .. }
            | BlobError::Failed { .. }) => FarmError::Unavailable(other.to_string()),
        }
    }
}

impl From<Invalid> for FarmError {
    fn from(error: Invalid) -> Self {
        FarmError::Invalid(error.to_string())
    }
}

impl From<DefinitionError> for FarmError {
    fn from(error: DefinitionError) -> Self {
        FarmError::Invalid(error.to_string())
    }
}

impl FarmError {
    /// Maps the error of a read of `what`, which the database says is stored.
    pub(crate) fn missing(what: impl Into<String>) -> impl FnOnce(BlobError) -> Self {
        |error| match error {
            BlobError::NotFound { .. } | BlobError::Incomplete { .. } => Self::ContentMissing {
                what: what.into(),
                why: error.to_string(),
            },
            error => error.into(),
        }
    }

    /// `TooManyAttempts`, with whole seconds.
    pub(crate) fn too_many_attempts(wait: Duration) -> Self {
        let retry_after = Duration::from_secs(wait.as_secs().saturating_add(1));
        Self::TooManyAttempts { retry_after }
    }

    /// Logs what an operator should know. Called once, where the error is answered.
    pub fn log(&self) {
        match self {
            FarmError::Internal(source) => {
                tracing::error!(error = %source, "Internal error while handling a request")
            }
            FarmError::ContentMissing { what, why } => {
                tracing::error!(error = %why, "Stored bytes are missing: {what}")
            }
            FarmError::Unavailable(why) | FarmError::SourceUnavailable(why) => {
                tracing::warn!(error = %why, "Could not serve a request")
            }
            _ => {}
        }
    }
}

//! What can go wrong in a use case. Each dialect turns each variant into its own answer.

use slipway_blobs::BlobError;
use slipway_domain::{InvalidTransition, names::Invalid, pipeline::DefinitionError};
use slipway_store::StoreError;

use crate::crypto::seal::UnsealError;

/// What can go wrong in a use case.
#[derive(Debug, thiserror::Error)]
pub enum FarmError {
    /// There is no token, or nobody has it.
    #[error("the token is missing, unknown or expired")]
    BadToken,
    /// The token was good once, but has expired or was revoked.
    #[error("the token is missing, unknown or expired")]
    EndedToken,
    /// The caller may see the thing but not do this with it.
    #[error("{0}")]
    Forbidden(&'static str),
    /// There is no such thing, or the caller may not know of it.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The request makes no sense; the text says what was expected.
    #[error("{0}")]
    Invalid(String),
    /// A runner like this would never get a job.
    #[error("a runner without tags that refuses jobs without tags would never get a job")]
    IdleForEver,
    /// The request makes sense, but not now.
    #[error("{0}")]
    Conflict(String),
    /// The sources of a build are not kept any more, so that it cannot be tried again.
    #[error("the sources are not kept any more; send them again")]
    SourcesGone,
    /// The job's state does not allow it.
    #[error("the job is {} and does not take this", .0.from.name())]
    Refused(InvalidTransition),
    /// The namespace has as many builds as it may.
    #[error("the namespace has as many unfinished builds as it may")]
    TooManyBuilds,
    /// The project takes nothing now, and can only be looked at.
    #[error("the project is read-only")]
    ReadOnly,
    /// The job was erased.
    #[error("the job was erased")]
    Erased,
    /// A chunk of a trace does not begin where the trace ends.
    #[error("the trace has {held} bytes; go on from there")]
    TraceGap {
        /// How many bytes are stored.
        held: u64,
    },
    /// The body is larger than the farm takes.
    #[error("more than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// Something the farm needs is away; the same request may succeed later.
    #[error("the farm cannot do this now; try again")]
    Unavailable(String),
    /// A bug, or somebody else changed the farm's data.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for FarmError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => FarmError::NotFound(what),
            StoreError::Conflict(what) => FarmError::Conflict(what.to_owned()),
            StoreError::SourcesGone => FarmError::SourcesGone,
            StoreError::Refused(refused) => FarmError::Refused(refused),
            StoreError::Stale => FarmError::Conflict("it changed meanwhile; try again".to_owned()),
            StoreError::TraceGap { held } => FarmError::TraceGap { held },
            StoreError::Erased => FarmError::Erased,
            StoreError::Unavailable(why) => FarmError::Unavailable(why),
            error @ (StoreError::Corrupt(_) | StoreError::Database(_)) => {
                FarmError::Internal(Box::new(error))
            }
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
        FarmError::Unavailable(error.to_string())
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
    /// Logs what an operator should know, once, where the error is answered.
    pub fn log(&self) {
        match self {
            FarmError::Internal(source) => tracing::error!(error = %source, "A request met a bug"),
            FarmError::Unavailable(why) => {
                tracing::warn!(error = %why, "A request could not be served")
            }
            _ => {}
        }
    }
}

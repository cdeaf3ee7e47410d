//! Errors of the blob storage. Errors of the client library are causes, never variants.

use std::error::Error;

type Cause = Box<dyn Error + Send + Sync>;

/// Why a blob could not be stored, read or deleted.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("blob `{key}` not found")]
    NotFound { key: String },
    /// The blob has fewer bytes than were stored: its file was cut short from outside.
    #[error("blob `{key}` has {size} bytes instead of {stored}")]
    Incomplete {
        key: String,
        /// The size of the blob, in bytes.
        size: u64,
        /// The size that it should have at least, in bytes.
        stored: u64,
    },
    /// The requested range starts at or after the end of the blob.
    #[error("the range starts after the end of blob `{key}`, which has {size} bytes")]
    OutOfRange {
        key: String,
        /// The size of the blob, in bytes.
        size: u64,
    },
    #[error("invalid blob key `{key}`: {reason}")]
    InvalidKey { key: String, reason: String },
    /// The location cannot be used at all, for instance because of missing permissions.
    #[error("cannot {step} the blob storage {location}")]
    Unusable {
        location: String,
        /// The failed operation, such as "write to".
        step: &'static str,
        source: Cause,
    },
    /// The storage failed. Another attempt may succeed.
    #[error("the blob storage failed for `{key}`")]
    Failed { key: String, source: Cause },
}

impl BlobError {
    pub(crate) fn of(key: &str, error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::NotFound {
                key: key.to_owned(),
            },
            error => Self::failed(key, error),
        }
    }

    pub(crate) fn failed(key: &str, source: impl Into<Cause>) -> Self {
        Self::Failed {
            key: key.to_owned(),
            source: source.into(),
        }
    }
}

/// Why a stream was not stored. None of its bytes are kept.
#[derive(Debug, thiserror::Error)]
pub enum PutError<E: Error + 'static> {
    #[error("the stream has more than the allowed {limit} bytes")]
    TooLarge { limit: u64 },
    /// Reading the stream failed.
    #[error("could not read the stream to store")]
    Source(#[source] E),
    #[error(transparent)]
    Blob(#[from] BlobError),
}

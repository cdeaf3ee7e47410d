//! What can go wrong with a blob. The client library's own errors are causes, never variants.

use std::error::Error;

type Cause = Box<dyn Error + Send + Sync>;

/// Why a blob could not be stored, read or deleted.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no such blob.
    #[error("there is no blob `{key}`")]
    NotFound {
        /// The key that was asked for.
        key: String,
    },
    /// The range that was asked for starts at or beyond the end of the blob.
    #[error("blob `{key}` has only {size} bytes")]
    OutOfRange {
        /// The key that was asked for.
        key: String,
        /// How many bytes the blob has.
        size: u64,
    },
    /// The key cannot name a blob.
    #[error("`{key}` cannot be the key of a blob: {reason}")]
    BadKey {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The place for blobs cannot be used at all.
    #[error("cannot {step} the blob storage {location}")]
    Unusable {
        /// The place.
        location: String,
        /// What was tried, to be read between "cannot" and the place.
        step: &'static str,
        /// What was answered.
        source: Cause,
    },
    /// The storage failed. Another attempt may succeed.
    #[error("the blob storage failed on `{key}`")]
    Failed {
        /// The key of the blob.
        key: String,
        /// What was answered.
        source: Cause,
    },
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

/// Why a stream of bytes was not stored. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum PutError<E: Error + 'static> {
    /// There were more bytes than allowed.
    #[error("there are more than {limit} bytes")]
    TooLarge {
        /// How many bytes were allowed.
        limit: u64,
    },
    /// The stream that was to be stored failed.
    #[error("the bytes to store could not be read")]
    Source(#[source] E),
    /// The storage failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

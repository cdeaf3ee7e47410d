//! Errors of the blob storage. Errors of the client library are causes, never variants.

use std::error::Error;
use std::io;

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
    /// The storage has no space left. Nothing of the blob is stored.
    #[error("no space left to store `{key}`")]
    DiskFull { key: String, source: Cause },
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

    /// An error that says that there is no space for `key`.
    pub fn disk_full(key: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::DiskFull {
            key: key.to_owned(),
            source: source.into(),
        }
    }

    /// A failure of the storage.
    pub fn failed(key: &str, source: impl Into<Cause>) -> Self {
        let source = source.into();
        if is_full(source.as_ref()) {
            return Self::disk_full(key, source);
        }
        Self::Failed {
            key: key.to_owned(),
            source,
        }
    }
}

/// Whether an error, or one of its causes, is a lack of space.
fn is_full(error: &(dyn Error + 'static)) -> bool {
    let by_system = error.downcast_ref::<io::Error>().is_some_and(|error| {
        let is_full_kind = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        );
        // The source of an error that wraps another one is the source of that one.
        is_full_kind || error.get_ref().is_some_and(|inner| is_full(inner))
    });
    // A bucket reports it only in the body of its answer.
    by_system
        || error.source().is_some_and(is_full)
        || ["XMinioStorageFull", "InsufficientStorage", "QuotaExceeded"]
            .iter()
            .any(|code| error.to_string().contains(code))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_space_is_recognized_below_other_errors() {
        let full = |code: i32| {
            let cause = std::io::Error::from_raw_os_error(code);
            BlobError::of(
                "a/b",
                object_store::Error::Generic {
                    store: "LocalFileSystem",
                    source: Box::new(std::io::Error::other(cause)),
                },
            )
        };
        // ENOSPC and EDQUOT, and EIO.
        assert!(matches!(full(28), BlobError::DiskFull { .. }));
        assert!(matches!(full(122), BlobError::DiskFull { .. }));
        assert!(matches!(full(5), BlobError::Failed { .. }));
        let bucket = object_store::Error::Generic {
            store: "S3",
            source: "<Code>XMinioStorageFull</Code>".into(),
        };
        assert!(matches!(
            BlobError::of("a", bucket),
            BlobError::DiskFull { .. }
        ));
    }
}

//! Durable bytes: the traces, artifacts and caches that are too large or too many for a table.
//!
//! A blob has a key such as `traces/42/0` and is replaced or deleted as a whole. This crate knows
//! nothing of jobs: lengths, retention and who may read what are rows in the store. Blobs live in
//! a directory, or in a bucket that speaks S3.

mod error;
mod location;
mod read;
mod upload;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

pub use crate::error::{BlobError, PutError};
pub use crate::location::{BlobLocation, BlobLocationError};
pub use crate::read::BlobStream;
pub use crate::upload::Stored;

/// A place that holds blobs. A clone is another handle to the same place.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// What every key is put under; empty for a directory.
    prefix: Path,
    /// Set for a directory, whose subdirectories have to be removed as well.
    root: Option<PathBuf>,
    /// How much of a stream is gathered before it is written.
    part_size: usize,
}

impl Blobs {
    /// Opens `location`, and makes sure that blobs can be written, read and deleted there.
    ///
    /// # Errors
    /// [`BlobError::Unusable`], which says what could not be done and why.
    pub async fn open(location: &BlobLocation) -> Result<Self, BlobError> {
        let blobs = location::connect(location)?;
        let unusable = |step| {
            move |source| BlobError::Unusable {
                location: location.to_string(),
                step,
                source: Box::new(source),
            }
        };
        let key = probe_key();
        let content = Bytes::from_static(b"slipway");
        blobs
            .put(&key, content.clone())
            .await
            .map_err(unusable("write to"))?;
        let held = blobs
            .read(&key, None)
            .await
            .map_err(unusable("read from"))?;
        if held != content {
            return Err(BlobError::Unusable {
                location: location.to_string(),
                step: "read back what was written to",
                source: "other bytes came back than were written".into(),
            });
        }
        blobs.delete(&key).await.map_err(unusable("delete from"))?;
        Ok(blobs)
    }

    /// Stores `bytes` under `key`, in place of what was there.
    ///
    /// The bytes are durable when this returns. A reader meanwhile sees the old blob or the new
    /// one, never a mixture.
    ///
    /// # Errors
    /// [`BlobError::BadKey`], or [`BlobError::Failed`] when the bytes may not be stored.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), BlobError> {
        self.store
            .put(&self.path(key)?, bytes.into())
            .await
            .map_err(|error| BlobError::of(key, error))?;
        Ok(())
    }

    /// The bytes of `key`, or those in `range`, as a stream.
    ///
    /// A range may end beyond the blob's end, which gives what there is.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], and [`BlobError::OutOfRange`] when the range starts beyond the end.
    pub async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<BlobStream, BlobError> {
        read::open(self.store.as_ref(), key, &self.path(key)?, range).await
    }

    /// The bytes of `key`, or those in `range`, in memory: for blobs that are known to be small.
    ///
    /// # Errors
    /// As [`Blobs::get`].
    pub async fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<Bytes, BlobError> {
        self.get(key, range).await?.into_bytes().await
    }

    /// Deletes the blob `key`. It is fine if there is none.
    ///
    /// # Errors
    /// [`BlobError::BadKey`], or [`BlobError::Failed`] when the blob may still be there.
    pub async fn delete(&self, key: &str) -> Result<(), BlobError> {
        match self.store.delete(&self.path(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(BlobError::of(key, error)),
        }
    }

    /// Deletes every blob below `key/`, for instance all that one job left behind.
    ///
    /// Nothing may be written below that key at the same time. It is fine if there is nothing.
    ///
    /// # Errors
    /// [`BlobError::BadKey`], or [`BlobError::Failed`] when some blobs may still be there.
    pub async fn delete_below(&self, key: &str) -> Result<(), BlobError> {
        let path = self.path(key)?;
        if let Some(root) = &self.root {
            return match tokio::fs::remove_dir_all(root.join(path.as_ref())).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(BlobError::failed(key, error))
                }
                _ => Ok(()),
            };
        }
        let held = self
            .store
            .list(Some(&path))
            .map_ok(|meta| meta.location)
            .boxed();
        self.store
            .delete_stream(held)
            .try_for_each(|_| async { Ok(()) })
            .await
            .map_err(|error| BlobError::of(key, error))
    }

    /// Where `key` is in the store.
    fn path(&self, key: &str) -> Result<Path, BlobError> {
        let bad = |reason: String| BlobError::BadKey {
            key: key.to_owned(),
            reason,
        };
        if key.is_empty() {
            return Err(bad("it is empty".to_owned()));
        }
        // A directory marks unfinished files with `#`, so such a blob could be stored and not read.
        if key.contains('#') || key.starts_with('/') || key.ends_with('/') {
            return Err(bad("it has a `#`, or a `/` at an end".to_owned()));
        }
        let key = Path::parse(key).map_err(|error| bad(error.to_string()))?;
        Ok(self.prefix.parts().chain(key.parts()).collect())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "two coordinators that start together must not probe with the same key; nobody else sees it"
)]
fn probe_key() -> String {
    format!("probes/{}", uuid::Uuid::new_v4())
}

#[cfg(test)]
mod tests;

//! Storing, reading and deleting blobs.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::check;
use crate::connect::{Connection, connect};
use crate::error::BlobError;
use crate::location::BlobLocation;
use crate::read::{self, BlobStream};

/// A handle to a blob storage. Clones refer to the same storage.
#[derive(Clone, Debug)]
pub struct Blobs {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The prefix of all keys; empty for a directory.
    prefix: Path,
    /// Set for a directory, where deleting blobs has to delete their subdirectories too.
    pub(crate) root: Option<PathBuf>,
    /// The number of bytes of a stream that are collected before they are written.
    pub(crate) part_size: usize,
}

impl Blobs {
    /// Opens `location` and verifies that blobs can be written, read and deleted there.
    ///
    /// # Errors
    /// [`BlobError::Unusable`] with the operation that failed and its cause.
    pub async fn open(location: &BlobLocation) -> Result<Self, BlobError> {
        let Connection {
            store,
            prefix,
            root,
            part_size,
        } = connect(location)?;
        let blobs = Self {
            store,
            prefix,
            root,
            part_size,
        };
        let unusable = |step| {
            move |source| BlobError::Unusable {
                location: location.to_string(),
                step,
                source: Box::new(source),
            }
        };
        // A real round trip finds wrong permissions and credentials at startup, not at the first job.
        let key = probe_key();
        let content = Bytes::from_static(b"slipway");
        blobs
            .put(&key, content.clone())
            .await
            .map_err(unusable("write to"))?;
        let read = blobs
            .read(&key, None)
            .await
            .map_err(unusable("read from"))?;
        if read != content {
            return Err(BlobError::Unusable {
                location: location.to_string(),
                step: "verify a blob in",
                source: "it returned other bytes than were written".into(),
            });
        }
        blobs.delete(&key).await.map_err(unusable("delete from"))?;
        Ok(blobs)
    }

    /// Stores `bytes` under `key`, replacing an existing blob.
    ///
    /// The bytes are durable when this returns. A concurrent reader sees either the old blob or the
    /// new one, never a mixture.
    ///
    /// # Errors
    /// [`BlobError::InvalidKey`], or [`BlobError::Failed`] if it is unknown whether the bytes were
    /// stored.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), BlobError> {
        self.store
            .put(&self.path(key)?, bytes.into())
            .await
            .map_err(|error| BlobError::of(key, error))?;
        Ok(())
    }

    /// Returns the bytes of `key`, or those in `range`, as a stream.
    ///
    /// A range that ends after the blob's end is cut there.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], and [`BlobError::OutOfRange`] if the range starts after the end.
    pub async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<BlobStream, BlobError> {
        read::open(self.store.as_ref(), key, &self.path(key)?, range).await
    }

    /// [`Blobs::get`] for a blob that should have `size` bytes, so that a damaged one is reported
    /// before its first byte.
    ///
    /// # Errors
    /// [`BlobError::Incomplete`] if the blob is smaller, and those of [`Blobs::get`].
    pub async fn get_whole(
        &self,
        key: &str,
        size: u64,
        range: Option<Range<u64>>,
    ) -> Result<BlobStream, BlobError> {
        match self.get(key, range).await {
            Ok(found) => check::whole(key, found.size(), size).map(|()| found),
            // The range lies in what should be stored.
            Err(BlobError::OutOfRange { key, size: held }) if held < size => {
                Err(BlobError::Incomplete {
                    key,
                    size: held,
                    stored: size,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the bytes of `key`, or those in `range`, in memory. Only for blobs known to be small.
    ///
    /// # Errors
    /// As [`Blobs::get`].
    pub async fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<Bytes, BlobError> {
        self.get(key, range).await?.into_bytes().await
    }

    /// Deletes the blob `key`. Deleting a missing blob is not an error.
    ///
    /// # Errors
    /// [`BlobError::InvalidKey`], or [`BlobError::Failed`] if the blob may still exist.
    pub async fn delete(&self, key: &str) -> Result<(), BlobError> {
        match self.store.delete(&self.path(key)?).await {
            // A delete may be repeated, for instance after a crash, so a missing blob is a success.
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(BlobError::of(key, error)),
        }
    }

    /// Deletes every blob below `key/`, for instance all blobs of one job.
    ///
    /// The caller must not write below that key at the same time. It is not an error if there are no
    /// such blobs.
    ///
    /// # Errors
    /// [`BlobError::InvalidKey`], or [`BlobError::Failed`] if some blobs may still exist.
    pub async fn delete_below(&self, key: &str) -> Result<(), BlobError> {
        let path = self.path(key)?;
        // Deleting the directory also removes empty subdirectories, which an object store listing
        // would leave behind.
        if let Some(root) = &self.root {
            return match tokio::fs::remove_dir_all(root.join(path.as_ref())).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(BlobError::failed(key, error))
                }
                _ => Ok(()),
            };
        }
        let locations = self
            .store
            .list(Some(&path))
            .map_ok(|meta| meta.location)
            .boxed();
        self.store
            .delete_stream(locations)
            .try_for_each(|_| async { Ok(()) })
            .await
            .map_err(|error| BlobError::of(key, error))
    }

    /// The path of `key` in the object store.
    pub(crate) fn path(&self, key: &str) -> Result<Path, BlobError> {
        let invalid = |reason: String| BlobError::InvalidKey {
            key: key.to_owned(),
            reason,
        };
        if key.is_empty() {
            return Err(invalid("it is empty".to_owned()));
        }
        // The directory back end marks unfinished files with `#`, so a blob with such a key could be
        // stored but not read.
        if key.contains('#') || key.starts_with('/') || key.ends_with('/') {
            return Err(invalid(
                "it contains `#`, or starts or ends with `/`".to_owned(),
            ));
        }
        let key = Path::parse(key).map_err(|error| invalid(error.to_string()))?;
        Ok(self.prefix.parts().chain(key.parts()).collect())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "coordinators that start at the same time must not share a probe key, which is used nowhere else"
)]
pub(crate) fn probe_key() -> String {
    format!("probes/{}", uuid::Uuid::new_v4())
}

//! Storing a stream in parts, which become visible together when the upload completes.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use crate::error::{BlobError, PutError};
use crate::storage::Blobs;

/// The number of parts of one stream that are written concurrently while the next one is collected.
const PARTS_IN_FLIGHT: usize = 2;

/// The size and hash of a stored stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// In bytes.
    pub size: u64,
    /// In lower-case hex.
    pub sha256: String,
}

impl Blobs {
    /// Stores a stream of at most `limit` bytes under `key`, replacing an existing blob.
    ///
    /// The stream is never held in memory as a whole. The blob becomes visible atomically when the
    /// stream has ended, and is durable when this returns. If the stream fails, is too long or is
    /// dropped, none of it is kept and an existing blob is unchanged.
    ///
    /// An S3 bucket accepts at most 10,000 parts of 8 MiB (78 GiB), whatever the limit.
    ///
    /// # Errors
    /// [`PutError::TooLarge`], [`PutError::Source`] with the error of the stream, or
    /// [`PutError::Blob`] if the storage failed.
    pub async fn put_stream<S, E>(
        &self,
        key: &str,
        limit: u64,
        mut stream: S,
    ) -> Result<Stored, PutError<E>>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::error::Error + 'static,
    {
        let mut upload = Upload::new(self, key)?;
        let mut hash = Sha256::new();
        let mut size: u64 = 0;
        while let Some(chunk) = stream.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => {
                    upload.abort().await;
                    return Err(PutError::Source(error));
                }
            };
            // The declared length of a request cannot be trusted, so the bytes are counted.
            size = size.saturating_add(chunk.len() as u64);
            if size > limit {
                upload.abort().await;
                return Err(PutError::TooLarge { limit });
            }
            // Hashed while streaming, because reading a large blob back would double the I/O.
            hash.update(&chunk);
            upload.write(chunk).await?;
        }
        upload.finish().await?;
        Ok(Stored {
            size,
            sha256: hex::encode(hash.finalize()),
        })
    }
}

/// An upload in progress. A stream that fits in one part is stored by a single write at the end.
struct Upload<'a> {
    blobs: &'a Blobs,
    key: &'a str,
    path: Path,
    part: BytesMut,
    /// Set from the first full part until the upload is completed or aborted.
    open: Option<Box<dyn MultipartUpload>>,
    in_flight: JoinSet<object_store::Result<()>>,
}

impl<'a> Upload<'a> {
    fn new(blobs: &'a Blobs, key: &'a str) -> Result<Self, BlobError> {
        Ok(Self {
            blobs,
            key,
            path: blobs.path(key)?,
            part: BytesMut::new(),
            open: None,
            in_flight: JoinSet::new(),
        })
    }

    async fn write(&mut self, mut chunk: Bytes) -> Result<(), BlobError> {
        // S3 requires all parts except the last one to be at least 5 MiB, so parts are filled up.
        while self.part.len() + chunk.len() > self.blobs.part_size {
            let missing = self.blobs.part_size - self.part.len();
            self.part.extend_from_slice(&chunk[..missing]);
            chunk.advance(missing);
            let written = self.write_part().await;
            self.or_abort(written).await?;
        }
        self.part.extend_from_slice(&chunk);
        Ok(())
    }

    async fn finish(mut self) -> Result<(), BlobError> {
        // A stream of one part needs no multipart upload, which saves two requests.
        if self.open.is_none() {
            return self.blobs.put(self.key, self.part.split().freeze()).await;
        }
        let completed = self.complete().await;
        self.or_abort(completed).await?;
        self.open = None;
        Ok(())
    }

    async fn write_part(&mut self) -> object_store::Result<()> {
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(self.blobs.store.put_multipart(&self.path).await?),
        };
        let part = open.put_part(self.part.split().freeze().into());
        // The next part is collected while this one is written.
        self.in_flight.spawn(part);
        self.drain(PARTS_IN_FLIGHT).await
    }

    async fn complete(&mut self) -> object_store::Result<()> {
        if !self.part.is_empty() {
            self.write_part().await?;
        }
        // All parts must be stored before the upload can be completed.
        self.drain(0).await?;
        if let Some(open) = &mut self.open {
            open.complete().await?;
        }
        Ok(())
    }

    /// Waits until at most `limit` parts are being written.
    async fn drain(&mut self, limit: usize) -> object_store::Result<()> {
        while self.in_flight.len() > limit {
            if let Some(part) = self.in_flight.join_next().await {
                part??;
            }
        }
        Ok(())
    }

    async fn or_abort(&mut self, result: object_store::Result<()>) -> Result<(), BlobError> {
        if let Err(error) = result {
            self.abort().await;
            return Err(BlobError::of(self.key, error));
        }
        Ok(())
    }

    async fn abort(&mut self) {
        // A part that is still being written could otherwise be stored after the abort.
        self.in_flight.shutdown().await;
        if let Some(open) = self.open.take() {
            abort(open, self.key).await;
        }
    }
}

impl Drop for Upload<'_> {
    /// Aborts the upload, for instance because the client disconnected.
    fn drop(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let key = self.key.to_owned();
            let mut in_flight = std::mem::take(&mut self.in_flight);
            // `drop` cannot wait, so the parts are deleted in the background.
            runtime.spawn(async move {
                in_flight.shutdown().await;
                abort(open, &key).await;
            });
        }
    }
}

async fn abort(mut upload: Box<dyn MultipartUpload>, key: &str) {
    if let Err(error) = upload.abort().await {
        // Not a warning: nothing refers to such parts, and buckets delete them by a lifecycle rule.
        tracing::debug!(%error, blob.key = key, "Could not delete the parts of the aborted upload {key}");
    }
}

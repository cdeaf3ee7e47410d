//! Reading a blob, or a range of it.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};

use crate::error::BlobError;

/// The bytes of a blob as a stream.
///
/// If the blob is replaced or deleted meanwhile, the stream may fail, but it never yields bytes of
/// another blob.
pub struct BlobStream {
    key: String,
    size: u64,
    range: Range<u64>,
    chunks: BoxStream<'static, object_store::Result<Bytes>>,
}

impl BlobStream {
    /// The size of the whole blob in bytes, even if this stream yields only a range of it.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The range of the blob that this stream yields, cut at the blob's end.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Collects the stream in memory.
    pub(crate) async fn into_bytes(mut self) -> Result<Bytes, BlobError> {
        // Most small blobs come as one chunk, which is returned without a copy.
        let Some(first) = self.next().await.transpose()? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.next().await.transpose()? else {
            return Ok(first);
        };
        // More than one chunk has to be copied together.
        let mut whole = BytesMut::from(first);
        whole.extend_from_slice(&second);
        while let Some(chunk) = self.next().await {
            whole.extend_from_slice(&chunk?);
        }
        Ok(whole.freeze())
    }
}

impl Stream for BlobStream {
    type Item = Result<Bytes, BlobError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.chunks.poll_next_unpin(cx);
        next.map_err(|error| BlobError::of(&self.key, error))
    }
}

impl std::fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStream")
            .field("key", &self.key)
            .field("size", &self.size)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

pub(crate) async fn open(
    store: &dyn ObjectStore,
    key: &str,
    path: &Path,
    range: Option<Range<u64>>,
) -> Result<BlobStream, BlobError> {
    if let Some(range) = range.as_ref().filter(|range| range.start >= range.end) {
        return empty(store, key, path, range.start).await;
    }
    // `range` is moved into the options, and the start is needed to interpret an error.
    let start = range.as_ref().map_or(0, |range| range.start);
    let options = GetOptions {
        range: range.map(GetRange::Bounded),
        ..GetOptions::default()
    };
    match store.get_opts(path, options).await {
        Ok(found) => Ok(BlobStream {
            key: key.to_owned(),
            size: found.meta.size,
            range: found.range.clone(),
            chunks: found.into_stream(),
        }),
        // Each back end reports a range after the end with a different error, so the size decides.
        Err(error) if start > 0 => {
            let size = size(store, key, path).await?;
            // The blob exists and the range is the problem; other errors are passed on.
            if start >= size {
                return Err(BlobError::OutOfRange {
                    key: key.to_owned(),
                    size,
                });
            }
            Err(BlobError::of(key, error))
        }
        Err(error) => Err(BlobError::of(key, error)),
    }
}

/// A stream for an empty range at `start`. HTTP has no empty ranges, so nothing is requested.
async fn empty(
    store: &dyn ObjectStore,
    key: &str,
    path: &Path,
    start: u64,
) -> Result<BlobStream, BlobError> {
    Ok(BlobStream {
        key: key.to_owned(),
        size: size(store, key, path).await?,
        range: start..start,
        chunks: stream::empty().boxed(),
    })
}

async fn size(store: &dyn ObjectStore, key: &str, path: &Path) -> Result<u64, BlobError> {
    let meta = store.head(path).await;
    Ok(meta.map_err(|error| BlobError::of(key, error))?.size)
}

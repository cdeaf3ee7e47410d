//! Reads stored traces, with tokens masked.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use slipway_domain::JobId;
use slipway_store::traces::{self, Chunk, ChunkSource, Extent, View};
use slipway_store::{Conn, jobs};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::traces::chunks::part_of;

impl Farm {
    /// How much text the trace of a job has, without the headers of lines.
    pub async fn trace_extent(&self, job: JobId) -> Result<Extent, FarmError> {
        self.read(move |conn| traces::extent(conn, job, View::Now))
            .await
    }

    /// The bytes of a trace in `range`, or up to where the trace ends now. Tokens are masked.
    ///
    /// # Errors
    /// `ContentMissing` if the storage lacks a part of them.
    pub async fn trace_bytes(
        &self,
        job: JobId,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = Result<Bytes, FarmError>> + use<>, FarmError> {
        let (chunks, bytes) = self.trace_part(job, range, View::Now).await?;
        // Once the first byte is sent, nothing can be reported any more.
        self.check_chunks(job, &chunks).await?;
        Ok(bytes)
    }

    /// The last bytes of a trace, up to `count`, as readers will see them when the job has ended.
    ///
    /// # Errors
    /// `ContentMissing` if the storage lacks a part of them.
    pub(crate) async fn end_of_trace(&self, job: JobId, count: u64) -> Result<Vec<u8>, FarmError> {
        let extent = move |conn: &mut Conn| traces::extent(conn, job, View::AtEnd);
        let length = self.read(extent).await?.length;
        let range = length.saturating_sub(count)..length;
        let (chunks, bytes) = self.trace_part(job, range, View::AtEnd).await?;
        self.check_chunks(job, &chunks).await?;
        let bytes: Vec<Bytes> = bytes.try_collect().await?;
        Ok(bytes.concat())
    }

    /// [`Farm::trace_bytes`] of one view of the trace, with the chunks that they are in.
    pub(crate) async fn trace_part(
        &self,
        job: JobId,
        range: Range<u64>,
        view: View,
    ) -> Result<
        (
            Vec<Chunk>,
            impl Stream<Item = Result<Bytes, FarmError>> + use<>,
        ),
        FarmError,
    > {
        let (farm, shown) = (self.clone(), range.clone());
        let read = move |conn: &mut Conn| {
            let row = jobs::get(conn, job)?;
            let mask = farm.trace_mask(conn, &row)?;
            let wide = mask.widened(&shown);
            let chunks = traces::chunks_in(conn, job, wide.clone(), view)?;
            Ok((mask, wide, chunks))
        };
        let (mask, wide, chunks) = self.read(read).await?;
        let farm = self.clone();
        let masked = stream::iter(masked_apart(&chunks, &wide)).flat_map(move |part| {
            let sources: Vec<_> = part
                .chunks
                .iter()
                .filter_map(|chunk| Some((chunk.source.clone(), part_of(chunk, &wide)?)))
                .collect();
            let farm = farm.clone();
            // Blobs are opened one by one as the reader asks, so that a long trace is never in memory.
            let raw = stream::iter(sources).then(move |(source, part)| {
                let farm = farm.clone();
                async move { farm.chunk_bytes(&source, part).await }
            });
            let mask = mask.clone();
            mask.applied(part.start, range.clone(), raw.boxed()).boxed()
        });
        Ok((chunks, masked))
    }
}

/// Chunks that are masked as one text.
struct MaskedPart {
    /// Where the text begins.
    start: u64,
    chunks: Vec<Chunk>,
}

/// The chunks up to the notice of what is missing, and those from there on: the beginning of a secret
/// at the end of a head is masked as at the end of a trace.
fn masked_apart(chunks: &[Chunk], range: &Range<u64>) -> Vec<MaskedPart> {
    let is_notice = |chunk: &Chunk| matches!(chunk.source, ChunkSource::Notice(_));
    let notice = chunks.iter().position(is_notice).unwrap_or(0);
    let (before, after) = chunks.split_at(notice);
    let part = |chunks: &[Chunk]| {
        let first = chunks.first()?;
        Some(MaskedPart {
            start: first.start.max(range.start),
            chunks: chunks.to_vec(),
        })
    };
    [before, after].into_iter().filter_map(part).collect()
}

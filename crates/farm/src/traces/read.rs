//! Reads stored traces, with tokens masked.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use slipway_domain::JobId;
use slipway_store::traces::{self, Chunk, Extent};
use slipway_store::{Conn, jobs};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::traces::chunks::part_of;

impl Farm {
    /// How much text the trace of a job has, without the headers of lines.
    pub async fn trace_extent(&self, job: JobId) -> Result<Extent, FarmError> {
        self.read(move |conn| traces::extent(conn, job)).await
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
        let (chunks, bytes) = self.trace_part(job, range).await?;
        // Once the first byte is sent, nothing can be reported any more.
        self.check_chunks(job, &chunks).await?;
        Ok(bytes)
    }

    /// [`Farm::trace_bytes`], with the chunks that they are in.
    pub(crate) async fn trace_part(
        &self,
        job: JobId,
        range: Range<u64>,
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
            let chunks = traces::chunks_in(conn, job, wide.clone())?;
            Ok((mask, wide, chunks))
        };
        let (mask, wide, chunks) = self.read(read).await?;
        let wanted: Vec<_> = chunks
            .iter()
            .filter_map(|chunk| Some((chunk.source.clone(), part_of(chunk, &wide)?)))
            .collect();
        let farm = self.clone();
        // Blobs are opened one by one as the reader asks, so that a long trace is never in memory.
        let raw = stream::iter(wanted).then(move |(source, part)| {
            let farm = farm.clone();
            async move { farm.chunk_bytes(&source, part).await }
        });
        Ok((chunks, mask.applied(range, raw.boxed())))
    }
}

//! Reads stored traces, with tokens masked.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use slipway_domain::JobId;
use slipway_store::traces::{self, Extent};
use slipway_store::{Conn, jobs};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::traces::chunks::{Arrival, arrivals_of, part_of};

impl Farm {
    /// How much of the trace of a job is stored.
    pub async fn trace_extent(&self, job: JobId) -> Result<Extent, FarmError> {
        self.read(move |conn| traces::extent(conn, job)).await
    }

    /// The bytes of a trace in `range`, or up to where the trace ends now. Tokens are masked.
    pub async fn trace_bytes(
        &self,
        job: JobId,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = Result<Bytes, FarmError>> + use<>, FarmError> {
        Ok(self.trace_part(job, range).await?.1)
    }

    /// [`Farm::trace_bytes`], with when the bytes arrived.
    pub(crate) async fn trace_part(
        &self,
        job: JobId,
        range: Range<u64>,
    ) -> Result<
        (
            Vec<Arrival>,
            impl Stream<Item = Result<Bytes, FarmError>> + use<>,
        ),
        FarmError,
    > {
        let (farm, shown) = (self.clone(), range.clone());
        let read = move |conn: &mut Conn| {
            let mask = farm.trace_mask(job, jobs::get(conn, job)?.project);
            let wide = mask.widened(&shown);
            let chunks = traces::chunks_in(conn, job, wide.clone())?;
            Ok((mask, wide, chunks))
        };
        let (mask, wide, chunks) = self.read(read).await?;
        let arrivals = arrivals_of(&chunks);
        let blobs = self.inner.blobs.clone();
        let wanted: Vec<(String, Range<u64>)> = chunks
            .into_iter()
            .filter_map(|chunk| part_of(&chunk, &wide))
            .collect();
        // Blobs are opened one by one as the reader asks, so that a long trace is never in memory.
        let raw = stream::iter(wanted).then(move |(key, part)| {
            let blobs = blobs.clone();
            async move { Ok(blobs.read(&key, Some(part)).await?) }
        });
        Ok((arrivals, mask.applied(range, raw.boxed())))
    }
}

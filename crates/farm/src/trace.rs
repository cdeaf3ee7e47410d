//! Traces: appended by runners, read and followed by everybody else.

use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt, stream};
use slipway_domain::{JobId, JobState, JobToken};
use slipway_store::jobs::{self, Job};
use slipway_store::traces::{self, Chunk, Extent, Lines};
use slipway_store::{Signal, StoreError};

use crate::live::{Arrival, Offer};
use crate::{Farm, FarmError};

/// What a runner hears after it sent a range of its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// How many bytes are stored now.
    pub length: u64,
    /// The job's state, by which a runner learns of a cancel.
    pub state: JobState,
    /// Whether the job is canceled, and its runner is ending it in its own way.
    pub ending: bool,
}

/// What a runner says that it sent of a trace, as far as it tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentTrace {
    /// In bytes.
    pub length: Option<u64>,
    /// CRC-32 of all bytes.
    pub crc32: Option<u32>,
}

impl SentTrace {
    /// Whether that is what the farm holds.
    pub(crate) fn is(&self, held: Extent) -> bool {
        self.length.is_none_or(|length| length == held.length)
            && self.crc32.is_none_or(|crc32| crc32 == held.crc32)
    }
}

impl Farm {
    /// The job whose token `token` is, for a runner that sends its trace or artifacts. The runners
    /// token of its project is as good, as it was before jobs had tokens of their own.
    ///
    /// # Errors
    /// `NotFound` when there is no such job, `Forbidden` when it is another's token.
    pub(crate) async fn job_by_token(&self, id: JobId, token: &JobToken) -> Result<Job, FarmError> {
        let job = self
            .inner
            .store
            .read(move |conn| jobs::get(conn, id))
            .await?;
        let given = token.hash();
        let is_own = self.job_token(id).hash() == given;
        if !is_own && self.project_runners_token(job.project).hash() != given {
            return Err(FarmError::Forbidden("the token is not this job's"));
        }
        if job.erased_at.is_some() {
            return Err(FarmError::Erased);
        }
        Ok(job)
    }

    /// Whether `token` may send to a job's trace, before anything of it is read.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `Erased`.
    pub async fn check_job_token(&self, id: JobId, token: &JobToken) -> Result<(), FarmError> {
        self.job_by_token(id, token).await.map(drop)
    }

    /// Appends bytes that begin at `start` to a job's trace; an empty range is a sign of life.
    ///
    /// # Errors
    /// `TraceGap` when `start` is not where the trace ends, `TooLarge` beyond the limit, and those
    /// of a token that is not the job's.
    pub async fn append_trace(
        &self,
        id: JobId,
        token: &JobToken,
        start: u64,
        bytes: Bytes,
    ) -> Result<Appended, FarmError> {
        self.job_by_token(id, token).await?;
        let held = self
            .inner
            .store
            .read(move |conn| traces::extent(conn, id))
            .await?;
        if held.length != start {
            return Err(FarmError::TraceGap { held: held.length });
        }
        let limit = self.inner.settings.max_trace_bytes;
        if extended(held, &bytes).length > limit {
            return Err(FarmError::TooLarge { limit });
        }
        self.append_at(id, held, bytes).await
    }

    /// Appends bytes to a trace that is `held` long, and takes them for a sign of life.
    pub(crate) async fn append_at(
        &self,
        id: JobId,
        held: Extent,
        bytes: Bytes,
    ) -> Result<Appended, FarmError> {
        let (start, whole) = (held.length, extended(held, &bytes));
        let chunk = self.store_chunk(id, start, bytes.clone()).await?;
        let at = chunk
            .as_ref()
            .and_then(|chunk| chunk.lines)
            .map(|lines| lines.at);
        let blob = chunk.as_ref().map(|chunk| chunk.blob_key.clone());
        let now = self.now();
        let written = self.inner.store.write(move |conn| {
            if let Some(chunk) = &chunk {
                traces::append(conn, id, chunk, whole)?;
            }
            let seen = jobs::get(conn, id)?;
            if let JobState::Running(lease, _) = seen.state {
                let state = jobs::renew(conn, &seen, lease.runner, None, now)?;
                return Ok((state, false));
            }
            let ending = jobs::is_ending(conn, &seen, now)?;
            if ending {
                jobs::renew_ending(conn, &seen, now)?;
            }
            Ok((seen.state, ending))
        });
        match written.await {
            Ok((state, ending)) => {
                if let Some(at) = at {
                    let offer = Offer {
                        start,
                        bytes,
                        whole,
                        at,
                    };
                    self.inner.rooms.offer(id, offer);
                    self.inner.store.announce(Signal::Job(id));
                }
                Ok(Appended {
                    length: whole.length,
                    state,
                    ending,
                })
            }
            Err(error) => {
                self.drop_refused(&error, blob).await;
                Err(error.into())
            }
        }
    }

    async fn store_chunk(
        &self,
        id: JobId,
        start: u64,
        bytes: Bytes,
    ) -> Result<Option<Chunk>, FarmError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let blob_key = self.inner.chance.blob_key(&format!("traces/{id}"));
        let length = bytes.len() as u64;
        let lines = lines_of(&bytes, self.now());
        self.inner.blobs.put(&blob_key, bytes).await?;
        Ok(Some(Chunk {
            start,
            length,
            blob_key,
            lines: Some(lines),
        }))
    }

    /// Puts a whole trace in the place of what is stored.
    pub(crate) async fn replace_trace(&self, id: JobId, bytes: Bytes) -> Result<(), FarmError> {
        let whole = extended(Extent::default(), &bytes);
        let held = self
            .inner
            .store
            .read(move |conn| traces::extent(conn, id))
            .await?;
        // The last report of a stock runner repeats what it sent before, byte for byte.
        if held == whole {
            return Ok(());
        }
        let chunk = self.store_chunk(id, 0, bytes).await?;
        let blob = chunk.as_ref().map(|chunk| chunk.blob_key.clone());
        let written = self.inner.store.write(move |conn| match &chunk {
            Some(chunk) => traces::replace(conn, id, chunk, whole),
            None => traces::clear(conn, id),
        });
        match written.await {
            Ok(unused) => {
                self.drop_blobs(unused).await;
                self.tell_changed(&[id]);
                Ok(())
            }
            Err(error) => {
                self.drop_refused(&error, blob).await;
                Err(error.into())
            }
        }
    }

    /// Deletes blobs that nothing refers to. One that cannot be deleted now costs space, not truth.
    pub(crate) async fn drop_blobs(&self, keys: impl IntoIterator<Item = String>) {
        for key in keys {
            if let Err(error) = self.inner.blobs.delete(&key).await {
                tracing::warn!(error = %error, key, "An unused blob could not be deleted");
            }
        }
    }

    /// Deletes the blobs of a write that was refused. When nobody knows whether the write was kept,
    /// they stay: a row may refer to them, and a runner would be told that they are held.
    pub(crate) async fn drop_refused(
        &self,
        error: &StoreError,
        keys: impl IntoIterator<Item = String>,
    ) {
        if !error.outcome_is_unknown() {
            self.drop_blobs(keys).await;
        }
    }

    /// How much of a job's trace is stored.
    pub async fn trace_extent(&self, job: JobId) -> Result<Extent, FarmError> {
        Ok(self
            .inner
            .store
            .read(move |conn| traces::extent(conn, job))
            .await?)
    }

    /// The bytes of a trace from `range.start` to `range.end`, or to where it ends now. Tokens in
    /// it are not shown.
    pub async fn trace_bytes(
        &self,
        job: JobId,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = Result<Bytes, FarmError>> + use<>, FarmError> {
        Ok(self.trace_part(job, range).await?.1)
    }

    /// The same, and when which of the bytes came.
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
        let read = move |conn: &mut slipway_store::Conn| {
            let mask = farm.hidden_in(job, jobs::get(conn, job)?.project);
            let wide = mask.widened(&shown);
            let chunks = traces::chunks_in(conn, job, wide.clone())?;
            Ok((mask, wide, chunks))
        };
        let (mask, wide, chunks) = self.inner.store.read(read).await?;
        let arrivals = arrivals_of(&chunks);
        let blobs = self.inner.blobs.clone();
        let wanted: Vec<(String, Range<u64>)> = chunks
            .into_iter()
            .filter_map(|chunk| part_of(&chunk, &wide))
            .collect();
        let raw = stream::iter(wanted).then(move |(key, part)| {
            let blobs = blobs.clone();
            async move { Ok(blobs.read(&key, Some(part)).await?) }
        });
        Ok((arrivals, mask.applied(range, raw.boxed())))
    }
}

/// When which bytes of `chunks` came.
pub(crate) fn arrivals_of(chunks: &[Chunk]) -> Vec<Arrival> {
    let arrival = |chunk: &Chunk| Arrival {
        start: chunk.start,
        at: chunk.lines.map(|lines| lines.at),
    };
    chunks.iter().map(arrival).collect()
}

/// The part of a chunk's blob that lies in `range`.
pub(crate) fn part_of(chunk: &Chunk, range: &Range<u64>) -> Option<(String, Range<u64>)> {
    let from = range.start.max(chunk.start);
    let to = range.end.min(chunk.start + chunk.length);
    (from < to).then(|| (chunk.blob_key.clone(), from - chunk.start..to - chunk.start))
}

/// The lines of the bytes of a chunk, which came at `at`.
pub(crate) fn lines_of(bytes: &[u8], at: DateTime<Utc>) -> Lines {
    let ends = bytes.iter().filter(|byte| **byte == b'\n');
    Lines {
        count: ends.count() as u64,
        ends: bytes.ends_with(b"\n"),
        at,
    }
}

pub(crate) fn extended(held: Extent, bytes: &Bytes) -> Extent {
    let mut hasher = crc32fast::Hasher::new_with_initial_len(held.crc32, held.length);
    hasher.update(bytes);
    Extent {
        length: held.length + bytes.len() as u64,
        crc32: hasher.finalize(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_grows_with_the_trace() {
        let whole = extended(Extent::default(), &Bytes::from_static(b"hello world"));
        let half = extended(Extent::default(), &Bytes::from_static(b"hello "));
        assert_eq!(extended(half, &Bytes::from_static(b"world")), whole);
        assert_eq!(
            whole,
            Extent {
                length: 11,
                crc32: crc32fast::hash(b"hello world")
            }
        );
    }

    #[test]
    fn a_range_takes_parts_of_chunks() {
        let chunk = Chunk {
            start: 10,
            length: 5,
            blob_key: "k".into(),
            lines: None,
        };
        let part = |range: Range<u64>| part_of(&chunk, &range).map(|(_, part)| part);
        assert_eq!(part(0..u64::MAX), Some(0..5));
        assert_eq!(part(12..13), Some(2..3));
        assert_eq!(part(15..20), None);
        assert_eq!(part(0..10), None);
    }
}

//! Traces: appended by runners, read and followed by everybody else.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use slipway_domain::{JobId, JobState, JobToken};
use slipway_store::StoreError;
use slipway_store::jobs::{self, Job};
use slipway_store::traces::{self, Chunk, Extent, Lines};

use crate::{Farm, FarmError};

/// How long a follower trusts in being told before it looks for itself.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How many bytes a follower holds at the most; it fetches more once these were taken.
const HELD_BYTES: u64 = 1 << 20;

/// What a runner hears after it sent a range of its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// How many bytes are stored now.
    pub length: u64,
    /// The job's state, by which a runner learns of a cancel.
    pub state: JobState,
}

/// What a follower of a trace gets.
#[derive(Clone, Debug)]
pub enum TraceEvent {
    /// Bytes of the trace.
    Chunk {
        /// Where they begin.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// The job is over and the trace is whole.
    End {
        /// How the job ended.
        state: JobState,
    },
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
        let job = self.job_by_token(id, token).await?;
        let held = self
            .inner
            .store
            .read(move |conn| traces::extent(conn, id))
            .await?;
        if held.length != start {
            return Err(FarmError::TraceGap { held: held.length });
        }
        let whole = extended(held, &bytes);
        let limit = self.inner.settings.max_trace_bytes;
        if whole.length > limit {
            return Err(FarmError::TooLarge { limit });
        }
        let chunk = self.store_chunk(id, start, bytes).await?;
        let blob = chunk.as_ref().map(|chunk| chunk.blob_key.clone());
        let now = self.now();
        let written = self.inner.store.write(move |conn| {
            if let Some(chunk) = &chunk {
                traces::append(conn, id, chunk, whole)?;
            }
            let seen = jobs::get(conn, id)?;
            match seen.state {
                JobState::Running(lease, _) => jobs::renew(conn, &seen, lease.runner, None, now),
                state => Ok(state),
            }
        });
        match written.await {
            Ok(state) => {
                if blob.is_some() {
                    self.tell_changed(&[job.id]);
                }
                Ok(Appended {
                    length: whole.length,
                    state,
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
        let (farm, shown) = (self.clone(), range.clone());
        let read = move |conn: &mut slipway_store::Conn| {
            let mask = farm.hidden_in(job, jobs::get(conn, job)?.project);
            let wide = mask.widened(&shown);
            let chunks = traces::chunks_in(conn, job, wide.clone())?;
            Ok((mask, wide, chunks))
        };
        let (mask, wide, chunks) = self.inner.store.read(read).await?;
        let blobs = self.inner.blobs.clone();
        let wanted: Vec<(String, Range<u64>)> = chunks
            .into_iter()
            .filter_map(|chunk| part_of(&chunk, &wide))
            .collect();
        let raw = stream::iter(wanted).then(move |(key, part)| {
            let blobs = blobs.clone();
            async move { Ok(blobs.read(&key, Some(part)).await?) }
        });
        Ok(mask.applied(range, raw.boxed()))
    }

    /// A job's trace from `from` on: what is stored, then what comes, until the job is over.
    pub fn follow_trace(
        &self,
        job: JobId,
        from: u64,
    ) -> impl Stream<Item = Result<TraceEvent, FarmError>> + use<> {
        let follower = Follower {
            farm: self.clone(),
            job,
            offset: from,
            over: false,
        };
        let batches = stream::try_unfold(follower, |mut follower| async move {
            if follower.over {
                return Ok(None);
            }
            let events = follower.next_events().await?;
            Ok::<_, FarmError>(Some((stream::iter(events.into_iter().map(Ok)), follower)))
        });
        batches.try_flatten()
    }
}

struct Follower {
    farm: Farm,
    job: JobId,
    offset: u64,
    over: bool,
}

impl Follower {
    /// Waits until there is something to tell.
    async fn next_events(&mut self) -> Result<Vec<TraceEvent>, FarmError> {
        let job = self.job;
        loop {
            // Watch before looking, or what comes in between is missed.
            let mut watch = self.farm.inner.wakeups.watch(job);
            // The state is read before the bytes: once it says "over", the bytes are all there.
            let state = self
                .farm
                .inner
                .store
                .read(move |conn| jobs::get(conn, job))
                .await?
                .state;
            let mut events = Vec::new();
            let end = self.offset.saturating_add(HELD_BYTES);
            let mut bytes = std::pin::pin!(self.farm.trace_bytes(job, self.offset..end).await?);
            while let Some(bytes) = bytes.try_next().await? {
                let offset = self.offset;
                self.offset += bytes.len() as u64;
                events.push(TraceEvent::Chunk { offset, bytes });
            }
            if state.is_done() && self.offset < end {
                self.over = true;
                events.push(TraceEvent::End { state });
            }
            if !events.is_empty() {
                return Ok(events);
            }
            tokio::select! {
                () = watch.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.farm.inner.stopping.cancelled() => {
                    return Err(FarmError::Unavailable("the coordinator is stopping".to_owned()));
                }
            }
        }
    }
}

/// The part of a chunk's blob that lies in `range`.
fn part_of(chunk: &Chunk, range: &Range<u64>) -> Option<(String, Range<u64>)> {
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

fn extended(held: Extent, bytes: &Bytes) -> Extent {
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

//! Traces as runners send them: appended chunk by chunk, or replaced as a whole.
//!
//! What runners send is counted as it is, and stored without the headers of lines. Of a trace beyond
//! its limit, the beginning and the end are stored.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use slipway_domain::{JobId, JobState, TraceLimit};
use slipway_store::traces::{self, Chunk, ChunkSource, Extent, NewChunks, StoredTrace};
use slipway_store::{Conn, Signal, StoreError, jobs};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::access::{JobAccess, JobStatus};
use crate::traces::chunks::{lines_of, trace_folder};
use crate::traces::new_text::{NewText, Received, Shown};

/// The answer to a runner that appended to its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedTrace {
    /// How many bytes the runner has sent.
    pub length: u64,
    /// The state of the job, from which the runner learns that it was canceled.
    pub state: JobState,
    /// Whether the job is canceled and its runner is still stopping it gracefully.
    pub ending: bool,
}

/// What a runner reports to have sent of a trace; a runner may leave out either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentTrace {
    /// In bytes.
    pub length: Option<u64>,
    /// CRC-32 of all bytes.
    pub crc32: Option<u32>,
}

impl SentTrace {
    /// Whether the farm received exactly that.
    pub(crate) fn is(&self, received: Extent) -> bool {
        self.length.is_none_or(|length| length == received.length)
            && self.crc32.is_none_or(|crc32| crc32 == received.crc32)
    }
}

impl Farm {
    /// Whether somebody follows the trace of a job at this coordinator.
    pub fn is_trace_followed(&self, job: JobId) -> bool {
        self.inner.live_traces.is_followed(job)
    }

    /// Appends bytes that begin at `start` to the trace of a job. An empty chunk only renews the
    /// lease, and tells a runner how its job ended.
    ///
    /// Beyond the size limit bytes between the beginning and the end of the trace are dropped. They
    /// count as received, because a runner repeats or aborts what is refused.
    ///
    /// # Errors
    /// `TraceGap` when `start` is not where the trace ends, `Forbidden` when the job has ended,
    /// `Erased`.
    pub async fn append_trace(
        &self,
        access: &JobAccess,
        start: u64,
        bytes: Bytes,
    ) -> Result<AppendedTrace, FarmError> {
        if !bytes.is_empty() {
            access.require_growing_trace()?;
        }
        let before = self.stored_before(access, start).await?;
        let held = before.received.length;
        if held != start {
            return Err(FarmError::TraceGap { held });
        }
        self.append_to(access.id(), before, bytes).await
    }

    /// [`Farm::append_trace`] for runners of protocol v4, whose jobs may have ended meanwhile.
    ///
    /// # Errors
    /// `TraceGap` when `start` is not where the trace ends, `Erased`.
    pub async fn append_own_trace(
        &self,
        access: &JobAccess,
        start: u64,
        bytes: Bytes,
    ) -> Result<(u64, JobStatus), FarmError> {
        self.record_runner_contact(access).await?;
        let before = self.stored_before(access, start).await?;
        let held = before.received.length;
        if held != start {
            return Err(FarmError::TraceGap { held });
        }
        let appended = self.append_to(access.id(), before, bytes).await?;
        let status = JobStatus {
            state: appended.state,
            ending: appended.ending,
        };
        Ok((appended.length, status))
    }

    /// The stored trace. What the token check read is good enough when the chunk continues it: the
    /// write compares it again. Only a mismatch may come from another request that appended
    /// meanwhile, and is worth another read.
    async fn stored_before(
        &self,
        access: &JobAccess,
        start: u64,
    ) -> Result<StoredTrace, FarmError> {
        if access.trace().received.length == start {
            return Ok(access.trace().clone());
        }
        let id = access.id();
        self.read(move |conn| traces::stored(conn, id)).await
    }

    /// Appends bytes to the trace `before`, and renews the lease of its job.
    async fn append_to(
        &self,
        id: JobId,
        before: StoredTrace,
        bytes: Bytes,
    ) -> Result<AppendedTrace, FarmError> {
        let now = self.now();
        let mut received = Received::read(&before, &bytes, self.trace_limit());
        // The blobs are stored before the rows, so that a committed chunk always has its bytes.
        let new = self.store_received(id, &before, &mut received).await?;
        let blobs = keys_of(&new);
        let shown = received.shown(&before, now);
        let after = received.after;
        let length = after.received.length;
        let written = self.write_exactly(move |conn| {
            let unused = if after == before {
                Vec::new()
            } else {
                traces::append(conn, id, &before, &new, &after)?
            };
            let (state, ending) = renew(conn, id, now)?;
            Ok((state, ending, unused))
        });
        match written.await {
            Ok((state, ending, unused)) => {
                self.delete_blobs(unused).await;
                // Followers get the bytes only after the commit: what they saw must not vanish.
                match shown {
                    Shown::Nothing => {}
                    Shown::More(appended) => {
                        self.inner.live_traces.offer(id, appended);
                        self.inner.store.announce(Signal::Job(id));
                    }
                    Shown::Changed => self.announce_job_changes(&[id]),
                }
                Ok(AppendedTrace {
                    length,
                    state,
                    ending,
                })
            }
            Err(error) => {
                self.delete_blobs_of_failed_write(&error, blobs).await;
                Err(error.into())
            }
        }
    }

    /// Renews the lease of a job of which a part of the trace cannot be stored now.
    async fn note_sign_of_life(&self, id: JobId) -> Result<(), FarmError> {
        let now = self.now();
        self.write(move |conn| renew(conn, id, now).map(drop)).await
    }

    fn trace_limit(&self) -> TraceLimit {
        TraceLimit(self.inner.settings.max_trace_bytes)
    }

    /// Stores the text of what was received after `before`, as far as it is kept, and decides where
    /// the tail starts.
    async fn store_received(
        &self,
        id: JobId,
        before: &StoredTrace,
        received: &mut Received,
    ) -> Result<NewChunks, FarmError> {
        let kept = self.trace_limit().tail();
        let start = self.tail_start(id, before, received, kept).await?;
        if let Some(tail) = &mut received.after.tail {
            tail.start = start;
        }
        let head = self.store_chunk(id, before.text.length, &received.head);
        let head = head.await?;
        let held = before.tail.map_or(0, |tail| tail.length);
        let from = start.max(held);
        let dropped = usize::try_from(from - held).unwrap_or(usize::MAX);
        let tail = received.tail.without(dropped);
        match self.store_chunk(id, from, &tail).await {
            Ok(tail) => Ok(NewChunks { head, tail }),
            Err(error) => {
                self.delete_blobs(head.as_ref().and_then(key_of)).await;
                Err(error)
            }
        }
    }

    /// Stores new text as the chunk that begins at `start`; `None` when there is none.
    async fn store_chunk(
        &self,
        id: JobId,
        start: u64,
        new: &NewText,
    ) -> Result<Option<Chunk>, FarmError> {
        if new.text.is_empty() {
            return Ok(None);
        }
        let key = self.inner.chance.blob_key(&trace_folder(id));
        let lines = lines_of(&new.text, self.now());
        if let Err(error) = self.put_blob(&key, new.blob()).await {
            // The runner does what it can, and must not be taken for lost meanwhile.
            if let FarmError::DiskFull = error {
                self.note_sign_of_life(id).await?;
            }
            return Err(error);
        }
        Ok(Some(Chunk {
            start,
            length: new.text.len() as u64,
            source: ChunkSource::Blob {
                key,
                line_times: new.times.as_ref().map(|times| times.len() as u64),
                skipped: 0,
            },
            lines: Some(lines),
        }))
    }

    /// Replaces the stored trace of a job.
    pub(crate) async fn replace_trace(&self, id: JobId, bytes: Bytes) -> Result<(), FarmError> {
        let before = StoredTrace::default();
        let mut received = Received::read(&before, &bytes, self.trace_limit());
        let held = self.read(move |conn| traces::received(conn, id)).await?;
        // The last report of a stock runner repeats what it sent before, byte for byte.
        if held == received.after.received {
            return Ok(());
        }
        let new = self.store_received(id, &before, &mut received).await?;
        let (blobs, whole) = (keys_of(&new), received.after);
        let written = self.write_exactly(move |conn| {
            if whole.received.length == 0 {
                traces::clear(conn, id)
            } else {
                traces::replace(conn, id, &new, &whole)
            }
        });
        match written.await {
            Ok(unused) => {
                self.delete_blobs(unused).await;
                self.announce_job_changes(&[id]);
                Ok(())
            }
            Err(error) => {
                self.delete_blobs_of_failed_write(&error, blobs).await;
                Err(error.into())
            }
        }
    }
}

/// Renews the lease of a job that sent a part of its trace. Returns its state, and whether it is
/// canceled and its runner is still stopping it.
fn renew(conn: &mut Conn, id: JobId, now: DateTime<Utc>) -> Result<(JobState, bool), StoreError> {
    let job = jobs::get(conn, id)?;
    if let JobState::Running(lease, _) = job.state {
        let state = jobs::renew(conn, &job, lease.runner, None, now)?;
        return Ok((state, false));
    }
    // A gracefully stopping runner has no lease, but its output counts as a sign of life.
    let ending = jobs::is_ending(conn, &job, now)?;
    if ending {
        jobs::renew_ending(conn, &job, now)?;
    }
    Ok((job.state, ending))
}

fn key_of(chunk: &Chunk) -> Option<String> {
    match &chunk.source {
        ChunkSource::Blob { key, .. } => Some(key.clone()),
        ChunkSource::Inline(_) | ChunkSource::Notice(_) => None,
    }
}

fn keys_of(new: &NewChunks) -> Vec<String> {
    let chunks = new.head.iter().chain(&new.tail);
    chunks.filter_map(key_of).collect()
}

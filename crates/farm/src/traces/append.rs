//! Traces as runners send them: appended chunk by chunk, or replaced as a whole.
//!
//! What runners send is counted as it is, and stored without the headers of lines.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use slipway_domain::timestamps::{LineTime, TimedText};
use slipway_domain::{JobId, JobState};
use slipway_store::traces::{self, Chunk, ChunkSource, Extent, StoredTrace};
use slipway_store::{Conn, Signal, StoreError, jobs};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::access::{JobAccess, JobStatus};
use crate::state::live_traces::AppendedBytes;
use crate::traces::chunks::{blob_of, lines_of, trace_folder};

/// The answer to a runner that appended to its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedTrace {
    /// How many bytes of the runner's are stored now.
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
    /// Whether the farm stores exactly that.
    pub(crate) fn is(&self, held: Extent) -> bool {
        self.length.is_none_or(|length| length == held.length)
            && self.crc32.is_none_or(|crc32| crc32 == held.crc32)
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
    /// # Errors
    /// `TraceGap` when `start` is not where the trace ends, `TooLarge` above the size limit,
    /// `Forbidden` when the job has ended, `Erased`.
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
        let limit = self.inner.settings.max_trace_bytes;
        if held + bytes.len() as u64 > limit {
            return Err(FarmError::TooLarge { limit });
        }
        self.append_to(access.id(), before, bytes).await
    }

    /// [`Farm::append_trace`] for runners of protocol v4. Bytes above the size limit are counted and
    /// dropped, because those runners abort a job whose trace is refused. Returns the length that the
    /// runner believes to be stored.
    ///
    /// # Errors
    /// `TraceGap` when `start` is not where the trace ends, `Erased`.
    pub async fn append_own_trace(
        &self,
        access: &JobAccess,
        start: u64,
        mut bytes: Bytes,
    ) -> Result<(u64, JobStatus), FarmError> {
        self.record_runner_contact(access).await?;
        let before = self.stored_before(access, start).await?;
        let held = before.received.length;
        let sent_end = start + bytes.len() as u64;
        let limit = self.inner.settings.max_trace_bytes;
        let space = limit.saturating_sub(held);
        // Once the trace is full, the runner counts on from what it sent, not from what is stored.
        let is_full = space == 0 && start > held;
        if start != held && !is_full {
            return Err(FarmError::TraceGap { held });
        }
        bytes.truncate(usize::try_from(space).unwrap_or(usize::MAX));
        let appended = self.append_to(access.id(), before, bytes).await?;
        let status = JobStatus {
            state: appended.state,
            ending: appended.ending,
        };
        Ok((sent_end, status))
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
        let (new, after) = read_more(&before, &bytes);
        // The blob is stored before the row, so that a committed chunk always has its bytes.
        let chunk = self.store_chunk(id, before.text.length, &new).await?;
        let blob = chunk.as_ref().and_then(key_of);
        let shown = new.shown(&before, &after, now);
        let received = after.received.length;
        let written = self.write_exactly(move |conn| {
            if after != before {
                traces::append(conn, id, &before, chunk.as_ref(), &after)?;
            }
            renew(conn, id, now)
        });
        match written.await {
            Ok((state, ending)) => {
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
                    length: received,
                    state,
                    ending,
                })
            }
            Err(error) => {
                self.delete_blobs_of_failed_write(&error, blob).await;
                Err(error.into())
            }
        }
    }

    /// Renews the lease of a job of which a part of the trace cannot be stored now.
    async fn note_sign_of_life(&self, id: JobId) -> Result<(), FarmError> {
        let now = self.now();
        self.write(move |conn| renew(conn, id, now).map(drop)).await
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
        if let Err(error) = self.put_blob(&key, new.blob.clone()).await {
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
            },
            lines: Some(lines),
        }))
    }

    /// Replaces the stored trace of a job.
    pub(crate) async fn replace_trace(&self, id: JobId, bytes: Bytes) -> Result<(), FarmError> {
        let (new, whole) = read_more(&StoredTrace::default(), &bytes);
        let held = self.read(move |conn| traces::received(conn, id)).await?;
        // The last report of a stock runner repeats what it sent before, byte for byte.
        if held == whole.received {
            return Ok(());
        }
        let chunk = self.store_chunk(id, 0, &new).await?;
        let blob = chunk.as_ref().and_then(key_of);
        let written = self.write_exactly(move |conn| {
            if whole.received.length == 0 {
                traces::clear(conn, id)
            } else {
                traces::replace(conn, id, chunk.as_ref(), &whole)
            }
        });
        match written.await {
            Ok(unused) => {
                self.delete_blobs(unused).await;
                self.announce_job_changes(&[id]);
                Ok(())
            }
            Err(error) => {
                self.delete_blobs_of_failed_write(&error, blob).await;
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
        ChunkSource::Inline(_) => None,
    }
}

/// The text that became certain with the bytes that a runner sent.
struct NewText {
    text: Bytes,
    /// Absent if the trace has no times.
    times: Option<Vec<LineTime>>,
    /// The text as it is stored, with its times.
    blob: Bytes,
}

/// What readers see of an appended trace.
enum Shown {
    Nothing,
    More(AppendedBytes),
    /// Something else than before.
    Changed,
}

/// Reads more bytes of a trace. Returns the text that is new, and the trace with it.
fn read_more(before: &StoredTrace, bytes: &Bytes) -> (NewText, StoredTrace) {
    let mut reader = before.reader.clone();
    let new = if reader.is_plain() {
        NewText::plain(bytes.clone())
    } else {
        let timed = reader.take(bytes);
        if reader.is_plain() {
            NewText::plain(timed.text.into())
        } else {
            NewText::timed(timed)
        }
    };
    let after = StoredTrace {
        received: before.received.extended(bytes),
        text: before.text.extended(&new.text),
        reader,
    };
    (new, after)
}

impl NewText {
    fn plain(text: Bytes) -> Self {
        Self {
            blob: text.clone(),
            text,
            times: None,
        }
    }

    fn timed(timed: TimedText) -> Self {
        Self {
            blob: blob_of(&timed),
            text: timed.text.into(),
            times: Some(timed.times),
        }
    }

    /// What readers see, who may have seen a line break at the end of `before` already.
    fn shown(&self, before: &StoredTrace, after: &StoredTrace, now: DateTime<Utc>) -> Shown {
        let (seen, end) = (before.reader.end(false), after.reader.end(false));
        let whole: Bytes = if end.is_empty() {
            self.text.clone()
        } else {
            [&self.text, end.as_bytes()].concat().into()
        };
        if !whole.starts_with(seen.as_bytes()) {
            return Shown::Changed;
        }
        let bytes = whole.slice(seen.len()..);
        if bytes.is_empty() {
            return Shown::Nothing;
        }
        let shifted = |time: &LineTime| LineTime {
            offset: time.offset.saturating_sub(seen.len()),
            at: time.at,
        };
        Shown::More(AppendedBytes {
            start: before.text.length + seen.len() as u64,
            bytes,
            whole: after.text.extended(end.as_bytes()),
            at: now,
            times: self
                .times
                .as_ref()
                .map(|times| times.iter().map(shifted).collect()),
        })
    }
}

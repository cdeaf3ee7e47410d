//! Traces as runners send them: appended chunk by chunk, or replaced as a whole.

use bytes::Bytes;
use slipway_domain::{JobId, JobState};
use slipway_store::traces::{self, Chunk, Extent};
use slipway_store::{Signal, jobs};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::access::{JobAccess, JobStatus};
use crate::state::live_traces::AppendedBytes;
use crate::traces::chunks::{extended, lines_of};

/// The answer to a runner that appended to its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedTrace {
    /// How many bytes are stored now.
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
    /// Appends bytes that begin at `start` to the trace of a job. An empty chunk only renews the
    /// lease.
    ///
    /// # Errors
    /// `TraceGap` when `start` is not where the trace ends, `TooLarge` above the size limit,
    /// `Erased`.
    pub async fn append_trace(
        &self,
        access: &JobAccess,
        start: u64,
        bytes: Bytes,
    ) -> Result<AppendedTrace, FarmError> {
        let held = self.held_before(access, start).await?;
        if held.length != start {
            return Err(FarmError::TraceGap { held: held.length });
        }
        let limit = self.inner.settings.max_trace_bytes;
        if extended(held, &bytes).length > limit {
            return Err(FarmError::TooLarge { limit });
        }
        self.append_at(access.id(), held, bytes).await
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
        let held = self.held_before(access, start).await?;
        let sent_end = start + bytes.len() as u64;
        let limit = self.inner.settings.max_trace_bytes;
        let space = limit.saturating_sub(held.length);
        // Once the trace is full, the runner counts on from what it sent, not from what is stored.
        let is_full = space == 0 && start > held.length;
        if start != held.length && !is_full {
            return Err(FarmError::TraceGap { held: held.length });
        }
        bytes.truncate(usize::try_from(space).unwrap_or(usize::MAX));
        let appended = self.append_at(access.id(), held, bytes).await?;
        let status = JobStatus {
            state: appended.state,
            ending: appended.ending,
        };
        Ok((sent_end, status))
    }

    /// How much of the trace is stored. What the token check read is good enough when the chunk
    /// continues it: the write compares lengths again. Only a mismatch may come from another request
    /// that appended meanwhile, and is worth another read.
    async fn held_before(&self, access: &JobAccess, start: u64) -> Result<Extent, FarmError> {
        if access.trace().length == start {
            return Ok(access.trace());
        }
        self.trace_extent(access.id()).await
    }

    /// Appends bytes to a trace of the extent `held`, and renews the lease of its job.
    async fn append_at(
        &self,
        id: JobId,
        held: Extent,
        bytes: Bytes,
    ) -> Result<AppendedTrace, FarmError> {
        let (start, whole) = (held.length, extended(held, &bytes));
        // The blob is stored before the row, so that a committed chunk always has its bytes.
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
        });
        match written.await {
            Ok((state, ending)) => {
                // Followers get the bytes only after the commit: what they saw must not vanish.
                if let Some(at) = at {
                    let appended = AppendedBytes {
                        start,
                        bytes,
                        whole,
                        at,
                    };
                    self.inner.live_traces.offer(id, appended);
                    self.inner.store.announce(Signal::Job(id));
                }
                Ok(AppendedTrace {
                    length: whole.length,
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

    /// Stores the bytes of a chunk; `None` when there are none.
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

    /// Replaces the stored trace of a job.
    pub(crate) async fn replace_trace(&self, id: JobId, bytes: Bytes) -> Result<(), FarmError> {
        let whole = extended(Extent::default(), &bytes);
        let held = self.trace_extent(id).await?;
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

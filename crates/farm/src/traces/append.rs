//! Traces as runners send them: appended, or replaced as a whole.

use bytes::Bytes;
use slipway_domain::{JobId, JobState, JobToken};
use slipway_store::traces::{self, Chunk, Extent};
use slipway_store::{Signal, jobs};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::state::live_hub::Offer;
use crate::traces::chunks::{extended, lines_of};

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
        let held = self.read(move |conn| traces::extent(conn, id)).await?;
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
        let held = self.read(move |conn| traces::extent(conn, id)).await?;
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
                self.announce_job_changes(&[id]);
                Ok(())
            }
            Err(error) => {
                self.drop_refused(&error, blob).await;
                Err(error.into())
            }
        }
    }
}

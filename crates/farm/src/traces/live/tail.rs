//! Fills a live trace: with what is appended at this coordinator, and by reading once for all
//! followers what others append.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use slipway_domain::{JobId, JobState};
use slipway_masking::in_place::{Mask, Window};
use slipway_store::traces::{self, Chunk, ChunkSource, Extent, View};
use slipway_store::{Conn, StoreError, jobs};
use tokio::time::Instant;

use crate::error::FarmError;
use crate::farm::Farm;
use crate::state::live_traces::{AppendedBytes, InboxContent, LiveTrace, TAIL_BYTES};
use crate::state::trace_piece::TracePiece;
use crate::traces::chunks::{Arrival, add_arrival, part_of};
use crate::traces::live::cut::{MAX_PARTIAL_CHAR, char_end, cut, partial_char};
use crate::traces::live::stored::BLOCK_BYTES;

/// The shortest time between two updates of followers.
const UPDATE_EVERY: Duration = Duration::from_millis(20);
/// How long to rely on signals before looking at the database.
const POLL_EVERY: Duration = Duration::from_secs(2);

/// Fills the live trace of a job until the job has ended. Errors are retried; followers wait
/// meanwhile, as they do for a job without output. If stored bytes are missing, the live trace is
/// closed.
pub(crate) async fn fill(farm: Farm, job: JobId, trace: Arc<LiveTrace>) {
    let mut tail = None;
    let mut received = InboxContent::default();
    loop {
        let updated = Instant::now();
        let has_ended = match &mut tail {
            None => open(&farm, job, &trace, &mut tail).await,
            Some(tail) => tail.update(received).await,
        };
        match has_ended {
            Ok(true) => return,
            Ok(false) => {}
            Err(FarmError::NotFound(_)) => return trace.close_deleted(),
            Err(error) => {
                error.log();
                // Bytes are also missing for a moment when the trace is replaced.
                if let FarmError::ContentMissing { .. } = error
                    && let Err(FarmError::ContentMissing { .. }) = farm.check_trace(job, 0).await
                {
                    return trace.close_incomplete();
                }
                tail = None;
            }
        }
        // Followers are woken once for all that arrives meanwhile, not for each chunk.
        tokio::time::sleep_until(updated + UPDATE_EVERY).await;
        received = trace.inbox.next(POLL_EVERY).await;
    }
}

/// Opens the live trace near the end of what is stored. Returns whether the job has ended.
async fn open(
    farm: &Farm,
    job: JobId,
    trace: &Arc<LiveTrace>,
    into: &mut Option<Tail>,
) -> Result<bool, FarmError> {
    // The reason to open again may be that the trace was replaced.
    trace.blocks.clear();
    let (mut tail, state) = Tail::open(farm, job, trace).await?;
    let has_ended = state.is_done();
    if has_ended {
        tail.finish(state);
    }
    *into = Some(tail);
    Ok(has_ended)
}

/// The position of a live trace in the stored trace.
struct Tail {
    farm: Farm,
    job: JobId,
    trace: Arc<LiveTrace>,
    /// How much of the stored trace was taken.
    seen: Extent,
    mask: Mask,
    window: Window,
    /// Masked bytes that are not shown yet, and where they begin.
    text: Vec<u8>,
    start: u64,
    /// When the bytes from `start` on arrived.
    arrivals: Vec<Arrival>,
}

/// What the database holds of a trace.
struct Stored {
    state: JobState,
    whole: Extent,
    chunks: Vec<Chunk>,
}

impl Tail {
    async fn open(
        farm: &Farm,
        job: JobId,
        trace: &Arc<LiveTrace>,
    ) -> Result<(Self, JobState), FarmError> {
        let its_farm = farm.clone();
        let read = move |conn: &mut Conn| {
            let row = jobs::get(conn, job)?;
            let mask = its_farm.trace_mask(conn, &row)?;
            let whole = traces::extent(conn, job, View::Now)?;
            let from = live_start(&mask, whole.length);
            let wide = from.saturating_sub(mask.reach() + MAX_PARTIAL_CHAR as u64)..whole.length;
            let chunks = traces::chunks_in(conn, job, wide.clone(), View::Now)?;
            Ok((row.state, mask, whole, from, wide, chunks))
        };
        let (state, mask, whole, from, wide, chunks) = farm.read(read).await?;
        let mut tail = Self {
            farm: farm.clone(),
            job,
            trace: Arc::clone(trace),
            seen: whole,
            window: mask.clone().window(wide.start),
            mask,
            text: Vec::new(),
            start: wide.start,
            arrivals: Vec::new(),
        };
        // Outside of the read above: blobs may be slow, and must not hold a database connection.
        tail.take_stored(chunks, wide).await?;
        // The bytes before `from` were read only to find where a character begins.
        let before = usize::try_from(from - tail.start).unwrap_or(usize::MAX);
        let before = char_end(&tail.text, before);
        tail.text.drain(..before);
        tail.start += before as u64;
        let start = tail.start;
        // A job that has ended is shown whole at once: nothing will complete what is held back.
        let pieces = if state.is_done() {
            tail.rest()
        } else {
            tail.ready()
        };
        trace.restart(start, pieces);
        Ok((tail, state))
    }

    /// Shows what arrived. Returns whether the job has ended.
    async fn update(&mut self, received: InboxContent) -> Result<bool, FarmError> {
        let mut refresh = received.refresh;
        for appended in received.appended {
            refresh |= !self.take_appended(appended);
        }
        let ended = if refresh { self.refresh().await? } else { None };
        let pieces = self.ready();
        self.trace.push(pieces);
        if let Some(state) = ended {
            self.finish(state);
        }
        Ok(ended.is_some())
    }

    /// Takes appended bytes; `false` when they do not continue the trace.
    fn take_appended(&mut self, appended: AppendedBytes) -> bool {
        if appended.start != self.seen.length {
            return false;
        }
        self.seen = appended.whole;
        let (start, at, times) = (appended.start, Some(appended.at), appended.times);
        add_arrival(&mut self.arrivals, start, at, times.as_deref());
        self.text.extend(self.window.take(&appended.bytes));
        true
    }

    /// Looks at the database and takes what is new. Returns the state of a job that has ended.
    async fn refresh(&mut self) -> Result<Option<JobState>, FarmError> {
        let (job, seen) = (self.job, self.seen);
        let read = move |conn: &mut Conn| -> Result<Stored, StoreError> {
            // The state is read before the bytes: once the job has ended, the bytes are complete.
            let state = jobs::get(conn, job)?.state;
            let whole = traces::extent(conn, job, View::Now)?;
            let chunks = if may_continue(seen, whole) {
                traces::chunks_in(conn, job, seen.length..whole.length, View::Now)?
            } else {
                Vec::new()
            };
            Ok(Stored {
                state,
                whole,
                chunks,
            })
        };
        let stored = self.farm.read(read).await?;
        let mut continues = may_continue(seen, stored.whole);
        if continues {
            self.take_stored(stored.chunks, seen.length..stored.whole.length)
                .await?;
            // The checksum tells whether the bytes before are still the ones that were taken.
            continues = self.seen == stored.whole;
        }
        let mut state = stored.state;
        if !continues {
            // The trace was replaced, or grew by more than followers would be shown of it.
            self.trace.blocks.clear();
            let (trace, farm) = (Arc::clone(&self.trace), self.farm.clone());
            (*self, state) = Self::open(&farm, job, &trace).await?;
        }
        Ok(state.is_done().then_some(state))
    }

    /// Takes the bytes of `range` from their blobs.
    async fn take_stored(
        &mut self,
        chunks: Vec<Chunk>,
        range: Range<u64>,
    ) -> Result<(), FarmError> {
        let is_new = range.start == self.seen.length;
        for chunk in chunks {
            let Some(part) = part_of(&chunk, &range) else {
                continue;
            };
            if let ChunkSource::Notice(_) = chunk.source
                && part.start == 0
            {
                // A secret does not go on after the head, so nothing of it is held back any more.
                let (_, rest) = self.window.finish();
                self.text.extend(rest);
                self.window = self.mask.clone().window(chunk.start);
            }
            let times = self.farm.line_times(&chunk).await?;
            let at = chunk.lines.map(|lines| lines.at);
            add_arrival(&mut self.arrivals, chunk.start, at, times.as_deref());
            let bytes = self.farm.chunk_bytes(&chunk.source, part).await?;
            if is_new {
                self.seen = self.seen.extended(&bytes);
            }
            self.text.extend(self.window.take(&bytes));
        }
        Ok(())
    }

    /// What can be shown now: everything but an unfinished character at the end.
    fn ready(&mut self) -> Vec<Arc<TracePiece>> {
        let whole = self.text.len() - partial_char(&self.text);
        self.cut(whole)
    }

    /// Shows what was held back and closes the live trace.
    fn finish(&mut self, state: JobState) {
        let pieces = self.rest();
        self.trace.push(pieces);
        self.trace.close(state);
    }

    /// What was held back, once nothing follows.
    fn rest(&mut self) -> Vec<Arc<TracePiece>> {
        let (_, rest) = self.window.finish();
        self.text.extend(rest);
        self.cut(self.text.len())
    }

    fn cut(&mut self, count: usize) -> Vec<Arc<TracePiece>> {
        let text: Bytes = self.text.drain(..count).collect::<Vec<u8>>().into();
        let pieces = cut(self.start, &text, &self.arrivals);
        self.start += count as u64;
        // The last arrival before the rest stays: it tells when the rest arrived.
        let start = self.start;
        let past = self
            .arrivals
            .partition_point(|arrival| arrival.start <= start);
        self.arrivals.drain(..past.saturating_sub(1));
        pieces
    }
}

/// Whether `whole` may be `seen` plus bytes that are worth taking one by one.
fn may_continue(seen: Extent, whole: Extent) -> bool {
    let more = whole.length.checked_sub(seen.length);
    more.is_some_and(|more| more <= TAIL_BYTES) && (more != Some(0) || seen == whole)
}

/// Where a live trace begins: at a block border near the end, but far enough from it that nothing
/// held back for masking reaches over the border.
fn live_start(mask: &Mask, length: u64) -> u64 {
    let held_back = mask.reach() + 2 * MAX_PARTIAL_CHAR as u64;
    let safe = length.saturating_sub(held_back);
    safe - safe % BLOCK_BYTES
}

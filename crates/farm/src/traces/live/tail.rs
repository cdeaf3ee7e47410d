//! What fills a room: it shows what is appended here, and reads once for all what is appended
//! elsewhere.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use slipway_domain::{JobId, JobState};
use slipway_masking::in_place::{Mask, Window};
use slipway_store::traces::{self, Chunk, Extent};
use slipway_store::{Conn, StoreError, jobs};
use tokio::time::Instant;

use super::cut::{MAX_UNFINISHED, border, cut, unfinished};
use super::stored::BLOCK_BYTES;
use crate::error::FarmError;
use crate::farm::Farm;
use crate::state::live_hub::{Offer, RING_BYTES, Room, Waiting};
use crate::state::trace_piece::TracePiece;
use crate::traces::chunks::{Arrival, arrivals_of, extended, part_of};

/// How often something is shown at the most.
const SHOW_EVERY: Duration = Duration::from_millis(20);
/// How long to trust in being told before looking.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Fills the room of a job until the job is over. A failure is met by trying again: those who
/// follow wait meanwhile, as they do for a job that says nothing.
pub(super) async fn fill(farm: Farm, job: JobId, room: Arc<Room>) {
    let mut tail = None;
    let mut told = Waiting::default();
    loop {
        let shown = Instant::now();
        let is_over = match &mut tail {
            None => open(&farm, job, &room, &mut tail).await,
            Some(tail) => tail.go_on(told).await,
        };
        match is_over {
            Ok(true) => return,
            Ok(false) => {}
            Err(FarmError::NotFound(_)) => return room.close_gone(),
            Err(error) => {
                error.log();
                tail = None;
            }
        }
        // Whoever follows is woken for all that came meanwhile, and not for each part of it.
        tokio::time::sleep_until(shown + SHOW_EVERY).await;
        told = room.inbox.next(LOOK_EVERY).await;
    }
}

/// Begins near the end of what is stored. Returns whether the job is over.
async fn open(
    farm: &Farm,
    job: JobId,
    room: &Arc<Room>,
    into: &mut Option<Tail>,
) -> Result<bool, FarmError> {
    // Whoever opens again may do so because the trace was replaced.
    room.blocks.clear();
    let (mut tail, state) = Tail::open(farm, job, room).await?;
    let is_over = state.is_done();
    if is_over {
        tail.finish(state);
    }
    *into = Some(tail);
    Ok(is_over)
}

/// Where a room's trace ends.
struct Tail {
    farm: Farm,
    job: JobId,
    room: Arc<Room>,
    /// How much of the trace was taken.
    seen: Extent,
    window: Window,
    /// What is not shown yet, and where it begins.
    text: Vec<u8>,
    start: u64,
    /// When which bytes came, from `start` on.
    arrivals: Vec<Arrival>,
}

/// What the database says of a trace.
struct Look {
    state: JobState,
    whole: Extent,
    chunks: Vec<Chunk>,
}

impl Tail {
    async fn open(
        farm: &Farm,
        job: JobId,
        room: &Arc<Room>,
    ) -> Result<(Self, JobState), FarmError> {
        let its_farm = farm.clone();
        let read = move |conn: &mut Conn| {
            let row = jobs::get(conn, job)?;
            let mask = its_farm.hidden_in(job, row.project);
            let whole = traces::extent(conn, job)?;
            let from = beginning(&mask, whole.length);
            let wide = from.saturating_sub(mask.reach() + MAX_UNFINISHED as u64)..whole.length;
            let chunks = traces::chunks_in(conn, job, wide.clone())?;
            Ok((row.state, mask, whole, from, wide, chunks))
        };
        let (state, mask, whole, from, wide, chunks) = farm.read(read).await?;
        let mut tail = Self {
            farm: farm.clone(),
            job,
            room: Arc::clone(room),
            seen: whole,
            window: mask.window(wide.start),
            text: Vec::new(),
            start: wide.start,
            arrivals: Vec::new(),
        };
        tail.take_stored(chunks, wide).await?;
        // What stands before the beginning was only read to know where a character begins.
        let before = usize::try_from(from - tail.start).unwrap_or(usize::MAX);
        let before = border(&tail.text, before);
        tail.text.drain(..before);
        tail.start += before as u64;
        let start = tail.start;
        // Whoever comes to a job that is over finds all of it at once.
        let pieces = match state.is_done() {
            true => tail.rest(),
            false => tail.shown(),
        };
        room.restart(start, pieces);
        Ok((tail, state))
    }

    /// Shows what came. Returns whether the job is over.
    async fn go_on(&mut self, told: Waiting) -> Result<bool, FarmError> {
        let mut look = told.look;
        for offer in told.offers {
            look |= !self.take_offer(offer);
        }
        let is_over = match look {
            true => self.look().await?,
            false => None,
        };
        let pieces = self.shown();
        self.room.push(pieces);
        if let Some(state) = is_over {
            self.finish(state);
        }
        Ok(is_over.is_some())
    }

    /// Takes what was appended; `false` when it does not begin where the trace ends.
    fn take_offer(&mut self, offer: Offer) -> bool {
        if offer.start != self.seen.length {
            return false;
        }
        self.seen = offer.whole;
        self.arrivals.push(Arrival {
            start: offer.start,
            at: Some(offer.at),
        });
        self.text.extend(self.window.take(&offer.bytes));
        true
    }

    /// Looks at the database, and takes what is new. Returns the state of a job that is over.
    async fn look(&mut self) -> Result<Option<JobState>, FarmError> {
        let (job, seen) = (self.job, self.seen);
        let read = move |conn: &mut Conn| -> Result<Look, StoreError> {
            // The state is read before the bytes: once it says "over", the bytes are all there.
            let state = jobs::get(conn, job)?.state;
            let whole = traces::extent(conn, job)?;
            let chunks = match may_follow(seen, whole) {
                true => traces::chunks_in(conn, job, seen.length..whole.length)?,
                false => Vec::new(),
            };
            Ok(Look {
                state,
                whole,
                chunks,
            })
        };
        let found = self.farm.read(read).await?;
        let mut is_known = may_follow(seen, found.whole);
        if is_known {
            self.take_stored(found.chunks, seen.length..found.whole.length)
                .await?;
            is_known = self.seen == found.whole;
        }
        let mut state = found.state;
        if !is_known {
            // It was replaced, or so much came that the room would show only the end of it.
            self.room.blocks.clear();
            let (room, farm) = (Arc::clone(&self.room), self.farm.clone());
            (*self, state) = Self::open(&farm, job, &room).await?;
        }
        Ok(state.is_done().then_some(state))
    }

    /// Takes the bytes of `range` out of their blobs.
    async fn take_stored(
        &mut self,
        chunks: Vec<Chunk>,
        range: Range<u64>,
    ) -> Result<(), FarmError> {
        self.arrivals.extend(arrivals_of(&chunks));
        let is_new = range.start == self.seen.length;
        for chunk in chunks {
            let Some((key, part)) = part_of(&chunk, &range) else {
                continue;
            };
            let bytes = self.farm.inner.blobs.read(&key, Some(part)).await?;
            if is_new {
                self.seen = extended(self.seen, &bytes);
            }
            self.text.extend(self.window.take(&bytes));
        }
        Ok(())
    }

    /// What can be shown now: not what may be the beginning of a character.
    fn shown(&mut self) -> Vec<Arc<TracePiece>> {
        let whole = self.text.len() - unfinished(&self.text);
        self.cut(whole)
    }

    /// Shows what was held back, and says that the job is over.
    fn finish(&mut self, state: JobState) {
        let pieces = self.rest();
        self.room.push(pieces);
        self.room.close(state);
    }

    /// What was held back, when nothing comes any more.
    fn rest(&mut self) -> Vec<Arc<TracePiece>> {
        let (_, rest) = self.window.finish();
        self.text.extend(rest);
        self.cut(self.text.len())
    }

    fn cut(&mut self, count: usize) -> Vec<Arc<TracePiece>> {
        let text: Bytes = self.text.drain(..count).collect::<Vec<u8>>().into();
        let pieces = cut(self.start, &text, &self.arrivals);
        self.start += count as u64;
        // The last one before what is left still says when that came.
        let start = self.start;
        let past = self
            .arrivals
            .partition_point(|arrival| arrival.start <= start);
        self.arrivals.drain(..past.saturating_sub(1));
        pieces
    }
}

/// Whether `whole` may be `seen` with more bytes that are worth taking one by one.
fn may_follow(seen: Extent, whole: Extent) -> bool {
    let more = whole.length.checked_sub(seen.length);
    more.is_some_and(|more| more <= RING_BYTES) && (more != Some(0) || seen == whole)
}

/// Where a room begins: at a block, near enough to the end, but not so near that what is held back
/// there reaches over it.
fn beginning(mask: &Mask, length: u64) -> u64 {
    let held_back = mask.reach() + 2 * MAX_UNFINISHED as u64;
    let safe = length.saturating_sub(held_back);
    safe - safe % BLOCK_BYTES
}

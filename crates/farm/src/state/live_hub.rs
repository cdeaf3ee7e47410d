//! The room of a job that somebody follows here: the last bytes of its trace, for all who follow.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use slipway_domain::{JobId, JobState};
use slipway_store::traces::Extent;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::block_cache::Blocks;
use super::trace_piece::TracePiece;

/// How many bytes of a trace are kept for those who follow it.
pub(crate) const RING_BYTES: u64 = 4 << 20;
/// How many bytes wait to be shown at the most. What is more is read from where it is stored.
const MAX_WAITING: usize = 8 << 20;

/// The rooms that are open. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Rooms {
    open: Arc<Mutex<HashMap<JobId, Open>>>,
}

struct Open {
    room: Arc<Room>,
    seats: usize,
    tail: AbortHandle,
}

impl Rooms {
    /// Takes a seat in the room of a job. Whoever is the first starts what fills it.
    pub(crate) fn enter(&self, job: JobId, fill: impl FnOnce(Arc<Room>) -> AbortHandle) -> Seat {
        let mut rooms = lock(&self.open);
        let open = rooms.entry(job).or_insert_with(|| {
            let room = Arc::new(Room::default());
            let tail = fill(Arc::clone(&room));
            Open {
                room,
                seats: 0,
                tail,
            }
        });
        open.seats += 1;
        Seat {
            rooms: self.clone(),
            job,
            room: Arc::clone(&open.room),
        }
    }

    /// Offers what was appended to a job's trace to those who follow it here.
    pub(crate) fn offer(&self, job: JobId, offer: Offer) {
        if let Some(room) = self.of(job) {
            room.inbox.offer(offer);
        }
    }

    /// Tells those who follow a job here that it is not as it was.
    pub(crate) fn look(&self, job: JobId) {
        if let Some(room) = self.of(job) {
            room.inbox.look();
        }
    }

    /// Tells everybody who follows a job to look, as after signals were missed.
    pub(crate) fn look_at_all(&self) {
        for open in lock(&self.open).values() {
            open.room.inbox.look();
        }
    }

    fn of(&self, job: JobId) -> Option<Arc<Room>> {
        lock(&self.open)
            .get(&job)
            .map(|open| Arc::clone(&open.room))
    }
}

/// No code that holds these locks can panic half-way, so a poisoned one is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A seat in a room, which is closed when the last one is left.
pub(crate) struct Seat {
    rooms: Rooms,
    job: JobId,
    pub(crate) room: Arc<Room>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut rooms = lock(&self.rooms.open);
        if let Some(open) = rooms.get_mut(&self.job) {
            open.seats -= 1;
            if open.seats == 0 {
                open.tail.abort();
                rooms.remove(&self.job);
            }
        }
    }
}

/// Bytes that were appended, and that may be shown.
pub(crate) struct Offer {
    /// Where they begin.
    pub(crate) start: u64,
    /// The bytes.
    pub(crate) bytes: Bytes,
    /// How much of the trace is stored with them.
    pub(crate) whole: Extent,
    /// When they came.
    pub(crate) at: DateTime<Utc>,
}

/// What a room shows.
#[derive(Default)]
pub(crate) struct Room {
    shown: Mutex<Shown>,
    changed: watch::Sender<()>,
    pub(crate) inbox: Inbox,
    pub(crate) blocks: Blocks,
}

/// What comes at some offset of a trace.
pub(crate) enum Next {
    /// This piece.
    Piece(Arc<TracePiece>),
    /// Something that has to be read from where it is stored.
    Stored,
    /// Nothing yet.
    Nothing,
    /// Nothing more.
    Over(JobState),
    /// There is no such job any more.
    Gone,
}

/// The end of the trace, as far as it is known.
#[derive(Default)]
struct Shown {
    /// Whether anybody has looked yet.
    is_open: bool,
    pieces: VecDeque<Arc<TracePiece>>,
    /// Where the first piece begins, and where the last one ends.
    start: u64,
    end: u64,
    close: Option<Close>,
}

#[derive(Clone, Copy)]
enum Close {
    Over(JobState),
    Gone,
}

impl Room {
    /// Hears of every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What comes at `offset`, and where the trace ends; `None` before anybody has looked.
    pub(crate) fn next(&self, offset: u64) -> Option<(Next, u64)> {
        let shown = lock(&self.shown);
        let next = if offset < shown.start {
            Next::Stored
        } else if offset < shown.end {
            let at = shown.pieces.partition_point(|piece| piece.end() <= offset);
            shown
                .pieces
                .get(at)
                .map_or(Next::Nothing, |piece| Next::Piece(piece.from(offset)))
        } else {
            match shown.close {
                None => Next::Nothing,
                Some(Close::Over(state)) => Next::Over(state),
                Some(Close::Gone) => Next::Gone,
            }
        };
        let is_known = shown.is_open || shown.close.is_some();
        is_known.then_some((next, shown.end))
    }

    /// Where the trace ends, as far as it is shown.
    pub(crate) fn end(&self) -> u64 {
        lock(&self.shown).end
    }

    /// Whether nothing comes any more.
    pub(crate) fn is_over(&self) -> bool {
        lock(&self.shown).close.is_some()
    }

    /// Shows `pieces`, the first of which begins at `start`, and nothing before them.
    pub(crate) fn restart(&self, start: u64, pieces: Vec<Arc<TracePiece>>) {
        let mut shown = lock(&self.shown);
        *shown = Shown {
            is_open: true,
            start,
            end: start,
            ..Shown::default()
        };
        shown.push(pieces);
        drop(shown);
        self.changed.send_replace(());
    }

    /// Shows more.
    pub(crate) fn push(&self, pieces: Vec<Arc<TracePiece>>) {
        if pieces.is_empty() {
            return;
        }
        lock(&self.shown).push(pieces);
        self.changed.send_replace(());
    }

    /// Says that the job is over, and the trace shown to its end.
    pub(crate) fn close(&self, state: JobState) {
        lock(&self.shown).close = Some(Close::Over(state));
        self.changed.send_replace(());
    }

    /// Says that there is no such job.
    pub(crate) fn close_gone(&self) {
        lock(&self.shown).close = Some(Close::Gone);
        self.changed.send_replace(());
    }
}

impl Shown {
    fn push(&mut self, pieces: Vec<Arc<TracePiece>>) {
        for piece in pieces {
            self.end = piece.end();
            self.pieces.push_back(piece);
        }
        while self.end - self.start > RING_BYTES
            && let Some(first) = self.pieces.pop_front()
        {
            self.start = first.end();
        }
    }
}

/// What a room was told and has not shown yet.
#[derive(Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    told: Notify,
}

/// What a room was told.
#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) offers: Vec<Offer>,
    bytes: usize,
    /// Whether there may be more than was offered.
    pub(crate) look: bool,
}

impl Inbox {
    fn offer(&self, offer: Offer) {
        let mut waiting = lock(&self.waiting);
        waiting.bytes += offer.bytes.len();
        waiting.offers.push(offer);
        if waiting.bytes > MAX_WAITING {
            *waiting = Waiting {
                look: true,
                ..Waiting::default()
            };
        }
        drop(waiting);
        self.told.notify_one();
    }

    fn look(&self) {
        lock(&self.waiting).look = true;
        self.told.notify_one();
    }

    /// What the room was told since the last call; it is waited for until `limit`, and then there
    /// may be anything.
    pub(crate) async fn next(&self, limit: Duration) -> Waiting {
        let told = tokio::time::timeout(limit, self.told.notified()).await;
        let mut waiting = std::mem::take(&mut *lock(&self.waiting));
        waiting.look |= told.is_err();
        waiting
    }
}

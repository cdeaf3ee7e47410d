//! The live traces of this coordinator: for each followed job, the last bytes of its trace, shared by
//! all followers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use slipway_domain::timestamps::LineTime;
use slipway_domain::{JobId, JobState};
use slipway_store::traces::Extent;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::state::block_cache::BlockCache;
use crate::state::trace_piece::TracePiece;

/// How many bytes at the end of a trace are kept in memory for its followers.
pub(crate) const TAIL_BYTES: u64 = 4 << 20;
/// How many appended bytes may wait in an inbox. Above that they are read back from storage.
const MAX_INBOX_BYTES: usize = 8 << 20;

/// The live traces that have followers. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct LiveTraces {
    open: Arc<Mutex<HashMap<JobId, Open>>>,
}

struct Open {
    trace: Arc<LiveTrace>,
    followers: usize,
    /// The task that fills the live trace.
    tail: AbortHandle,
}

impl LiveTraces {
    /// Subscribes to the live trace of a job. The first follower starts the task that fills it.
    pub(crate) fn subscribe(
        &self,
        job: JobId,
        fill: impl FnOnce(Arc<LiveTrace>) -> AbortHandle,
    ) -> Subscription {
        let mut all = lock(&self.open);
        let open = all.entry(job).or_insert_with(|| {
            let trace = Arc::new(LiveTrace::default());
            let tail = fill(Arc::clone(&trace));
            Open {
                trace,
                followers: 0,
                tail,
            }
        });
        open.followers += 1;
        Subscription {
            all: self.clone(),
            job,
            trace: Arc::clone(&open.trace),
        }
    }

    /// Passes bytes that were appended to the trace of a job to its followers here.
    pub(crate) fn offer(&self, job: JobId, appended: AppendedBytes) {
        if let Some(trace) = self.of(job) {
            trace.inbox.offer(appended);
        }
    }

    /// Makes the live trace of a job look at the database.
    pub(crate) fn refresh(&self, job: JobId) {
        if let Some(trace) = self.of(job) {
            trace.inbox.refresh();
        }
    }

    /// Makes every live trace look at the database, as after missed signals.
    pub(crate) fn refresh_all(&self) {
        for open in lock(&self.open).values() {
            open.trace.inbox.refresh();
        }
    }

    /// Whether somebody follows the trace of a job at this coordinator.
    pub(crate) fn is_followed(&self, job: JobId) -> bool {
        lock(&self.open).contains_key(&job)
    }

    fn of(&self, job: JobId) -> Option<Arc<LiveTrace>> {
        lock(&self.open)
            .get(&job)
            .map(|open| Arc::clone(&open.trace))
    }
}

/// Code that holds one of these locks cannot panic between two changes, so a poisoned value is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A follower's hold on a live trace. The live trace is closed with the last one.
pub(crate) struct Subscription {
    all: LiveTraces,
    job: JobId,
    pub(crate) trace: Arc<LiveTrace>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut all = lock(&self.all.open);
        if let Some(open) = all.get_mut(&self.job) {
            open.followers -= 1;
            if open.followers == 0 {
                open.tail.abort();
                all.remove(&self.job);
            }
        }
    }
}

/// Bytes that were appended to a trace, after their commit.
pub(crate) struct AppendedBytes {
    pub(crate) start: u64,
    pub(crate) bytes: Bytes,
    /// The extent of the trace with these bytes.
    pub(crate) whole: Extent,
    /// When they arrived.
    pub(crate) at: DateTime<Utc>,
    /// The times of the lines that begin in them; absent if the trace has none.
    pub(crate) times: Option<Vec<LineTime>>,
}

/// The live trace of one job.
#[derive(Default)]
pub(crate) struct LiveTrace {
    tail: Mutex<Tail>,
    changed: watch::Sender<()>,
    pub(crate) inbox: Inbox,
    pub(crate) blocks: BlockCache,
}

/// What a follower finds at an offset of a trace.
pub(crate) enum AtOffset {
    Piece(Arc<TracePiece>),
    /// Bytes that have to be read from storage.
    Stored,
    /// Nothing yet.
    Nothing,
    /// The end: the job ended in this state.
    Ended(JobState),
    /// The job was deleted.
    Deleted,
    /// Nothing more can be read: stored bytes are missing.
    Incomplete,
}

/// The end of the trace, as far as it is known.
#[derive(Default)]
struct Tail {
    /// Whether the trace was read once.
    is_open: bool,
    pieces: VecDeque<Arc<TracePiece>>,
    /// Where the first piece begins, and where the last one ends.
    start: u64,
    end: u64,
    closed: Option<Closed>,
}

#[derive(Clone, Copy)]
enum Closed {
    Ended(JobState),
    Deleted,
    Incomplete,
}

impl LiveTrace {
    /// Subscribes to changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What is at `offset`, and where the trace ends; `None` before the trace was read.
    pub(crate) fn at(&self, offset: u64) -> Option<(AtOffset, u64)> {
        let tail = lock(&self.tail);
        let found = if offset < tail.start {
            AtOffset::Stored
        } else if offset < tail.end {
            let at = tail.pieces.partition_point(|piece| piece.end() <= offset);
            tail.pieces.get(at).map_or(AtOffset::Nothing, |piece| {
                AtOffset::Piece(piece.from(offset))
            })
        } else {
            match tail.closed {
                None => AtOffset::Nothing,
                Some(Closed::Ended(state)) => AtOffset::Ended(state),
                Some(Closed::Deleted) => AtOffset::Deleted,
                Some(Closed::Incomplete) => AtOffset::Incomplete,
            }
        };
        let is_known = tail.is_open || tail.closed.is_some();
        is_known.then_some((found, tail.end))
    }

    /// Where the trace ends, as far as it is known.
    pub(crate) fn end(&self) -> u64 {
        lock(&self.tail).end
    }

    /// Whether nothing will be added.
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.tail).closed.is_some()
    }

    /// Replaces the tail by `pieces`, the first of which begins at `start`.
    pub(crate) fn restart(&self, start: u64, pieces: Vec<Arc<TracePiece>>) {
        let mut tail = lock(&self.tail);
        *tail = Tail {
            is_open: true,
            start,
            end: start,
            ..Tail::default()
        };
        tail.push(pieces);
        // Followers lock the tail as soon as they are woken.
        drop(tail);
        self.changed.send_replace(());
    }

    /// Adds pieces at the end.
    pub(crate) fn push(&self, pieces: Vec<Arc<TracePiece>>) {
        if pieces.is_empty() {
            return;
        }
        lock(&self.tail).push(pieces);
        self.changed.send_replace(());
    }

    /// Marks the trace as complete: the job ended in `state`.
    pub(crate) fn close(&self, state: JobState) {
        lock(&self.tail).closed = Some(Closed::Ended(state));
        self.changed.send_replace(());
    }

    /// Marks the job as deleted.
    pub(crate) fn close_deleted(&self) {
        lock(&self.tail).closed = Some(Closed::Deleted);
        self.changed.send_replace(());
    }

    /// Marks the trace as one of which stored bytes are missing.
    pub(crate) fn close_incomplete(&self) {
        lock(&self.tail).closed = Some(Closed::Incomplete);
        self.changed.send_replace(());
    }
}

impl Tail {
    fn push(&mut self, pieces: Vec<Arc<TracePiece>>) {
        for piece in pieces {
            self.end = piece.end();
            self.pieces.push_back(piece);
        }
        while self.end - self.start > TAIL_BYTES
            && let Some(first) = self.pieces.pop_front()
        {
            self.start = first.end();
        }
    }
}

/// What a live trace received and has not shown yet.
#[derive(Default)]
pub(crate) struct Inbox {
    content: Mutex<InboxContent>,
    received: Notify,
}

#[derive(Default)]
pub(crate) struct InboxContent {
    pub(crate) appended: Vec<AppendedBytes>,
    bytes: usize,
    /// Whether the database may hold more than was offered.
    pub(crate) refresh: bool,
}

impl Inbox {
    fn offer(&self, appended: AppendedBytes) {
        let mut content = lock(&self.content);
        content.bytes += appended.bytes.len();
        content.appended.push(appended);
        // A slow task must not hold the output of a fast job in memory: it is stored anyway.
        if content.bytes > MAX_INBOX_BYTES {
            *content = InboxContent {
                refresh: true,
                ..InboxContent::default()
            };
        }
        drop(content);
        self.received.notify_one();
    }

    fn refresh(&self) {
        lock(&self.content).refresh = true;
        self.received.notify_one();
    }

    /// Takes what was received since the last call, and waits for it up to `limit`. After that the
    /// database is looked at in any case, because a signal may be lost.
    pub(crate) async fn next(&self, limit: Duration) -> InboxContent {
        let received = tokio::time::timeout(limit, self.received.notified()).await;
        let mut content = std::mem::take(&mut *lock(&self.content));
        content.refresh |= received.is_err();
        content
    }
}

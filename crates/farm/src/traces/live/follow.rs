//! One follower of a live trace.

use std::sync::Arc;
use std::time::Instant;

use futures_util::{Stream, stream};
use slipway_domain::{JobId, JobState};
use tokio::sync::watch;

use crate::error::FarmError;
use crate::farm::Farm;
use crate::state::live_traces::{AtOffset, Subscription};
use crate::state::trace_piece::TracePiece;
use crate::traces::live::stored::piece_at;
use crate::traces::live::tail;

/// What a follower of a trace gets.
#[derive(Clone, Debug)]
pub enum TraceEvent {
    Piece(Arc<TracePiece>),
    /// The follower has everything that was stored when it came; what follows is new. Sent once,
    /// unless the follower is cut off before.
    CaughtUp,
    /// The follower is too slow. This is the last event; the follower may come back for what follows
    /// the last piece that it took.
    Lagged,
    /// The job ended in this state and the trace is complete. This is the last event.
    End {
        state: JobState,
    },
}

impl Farm {
    /// Follows the trace of a job from the byte `from` on, until the job has ended.
    ///
    /// Nothing is read ahead of the follower. While the job runs, a follower is cut off when it takes
    /// nothing for `slow_reader`, or falls behind by `max_reader_lag_bytes` after it caught up.
    pub fn follow_trace(
        &self,
        job: JobId,
        from: u64,
    ) -> impl Stream<Item = Result<TraceEvent, FarmError>> + use<> {
        let follower = Follower::new(self.clone(), job, from);
        stream::try_unfold(follower, |mut follower| async move {
            let event = follower.next().await?;
            Ok(event.map(|event| (event, follower)))
        })
    }
}

/// What a follower still has to get before it is up to date.
#[derive(Clone, Copy)]
enum Backlog {
    /// The bytes before this offset.
    Until(u64),
    Done,
}

struct Follower {
    farm: Farm,
    job: JobId,
    subscription: Subscription,
    changes: watch::Receiver<()>,
    offset: u64,
    /// `None` before the trace was read for the first time.
    backlog: Option<Backlog>,
    /// When the follower took the last event, and where the trace ended then.
    last_taken: Option<(Instant, u64)>,
    /// How many bytes were appended while the follower was busy, since it was up to date.
    missed: u64,
    is_done: bool,
}

impl Follower {
    fn new(farm: Farm, job: JobId, from: u64) -> Self {
        let fill = |trace| {
            let filled = tail::fill(farm.clone(), job, trace);
            farm.inner.runtime.spawn(filled).abort_handle()
        };
        let subscription = farm.inner.live_traces.subscribe(job, fill);
        Self {
            changes: subscription.trace.changes(),
            farm,
            job,
            subscription,
            offset: from,
            backlog: None,
            last_taken: None,
            missed: 0,
            is_done: false,
        }
    }

    /// The next event; `None` after the last one.
    async fn next(&mut self) -> Result<Option<TraceEvent>, FarmError> {
        if self.is_done {
            return Ok(None);
        }
        let event = if self.is_too_slow() {
            TraceEvent::Lagged
        } else {
            self.wait_for_event().await?
        };
        match &event {
            TraceEvent::Piece(piece) => {
                let bytes = piece.end() - self.offset;
                self.offset = piece.end();
                // The wait happens here and not in the caller, so it does not count as slowness of
                // the follower.
                self.farm.inner.follower_pace.wait_for_turn(bytes).await;
            }
            TraceEvent::CaughtUp => {
                self.backlog = Some(Backlog::Done);
                self.missed = 0;
            }
            TraceEvent::Lagged | TraceEvent::End { .. } => self.is_done = true,
        }
        self.last_taken = Some((Instant::now(), self.subscription.trace.end()));
        Ok(Some(event))
    }

    /// Whether the follower was busy with the last event for too long while the trace grew. The time
    /// that it waits in here does not count.
    fn is_too_slow(&mut self) -> bool {
        let Some((at, end)) = self.last_taken else {
            return false;
        };
        let settings = &self.farm.inner.settings;
        self.missed += self.subscription.trace.end().saturating_sub(end);
        let is_behind = matches!(self.backlog, Some(Backlog::Done))
            && self.missed > settings.max_reader_lag_bytes;
        // Once the job has ended nothing is appended, and a slow follower holds up nobody.
        (is_behind || at.elapsed() > settings.slow_reader) && !self.subscription.trace.is_closed()
    }

    async fn wait_for_event(&mut self) -> Result<TraceEvent, FarmError> {
        loop {
            // Marking before looking makes sure that a change in between wakes the wait below.
            self.changes.borrow_and_update();
            if let Some((found, end)) = self.subscription.trace.at(self.offset)
                && let Some(event) = self.event(found, end).await?
            {
                return Ok(event);
            }
            tokio::select! {
                // The sender lives as long as the subscription, so this does not fail.
                _ = self.changes.changed() => {}
                () = self.farm.inner.stopping.cancelled() => {
                    return Err(FarmError::Unavailable("the coordinator is stopping".to_owned()));
                }
            }
        }
    }

    async fn event(&mut self, found: AtOffset, end: u64) -> Result<Option<TraceEvent>, FarmError> {
        let backlog = *self.backlog.get_or_insert(Backlog::Until(end));
        match backlog {
            Backlog::Until(end) if self.offset >= end => return Ok(Some(TraceEvent::CaughtUp)),
            Backlog::Until(_) | Backlog::Done => {}
        }
        Ok(match found {
            AtOffset::Piece(piece) => Some(TraceEvent::Piece(piece)),
            AtOffset::Stored => {
                let blocks = &self.subscription.trace.blocks;
                let piece = piece_at(blocks, &self.farm, self.job, self.offset).await?;
                piece.map(TraceEvent::Piece)
            }
            AtOffset::Nothing => {
                self.missed = 0;
                None
            }
            AtOffset::Ended(state) => Some(TraceEvent::End { state }),
            AtOffset::Deleted => return Err(FarmError::NotFound("job")),
            AtOffset::Incomplete => {
                self.farm.check_trace(self.job, 0).await?;
                // The bytes are back; the follower finds them when it comes again.
                let why = format!("bytes of the trace of job {} were missing", self.job);
                return Err(FarmError::Unavailable(why));
            }
        })
    }
}

//! Live traces: what is stored first, then what comes, to any number of followers at the price of
//! one.
//!
//! Each job that somebody follows here has a room. What is appended here is shown there after its
//! commit; what comes through another coordinator is read once. A follower takes pieces when it
//! wants them, when it is its turn, and holds no more than the next one, so one that is slow costs
//! nobody anything.

use std::sync::Arc;
use std::time::Instant;

use futures_util::{Stream, stream};
use slipway_domain::{JobId, JobState};
use tokio::sync::watch;

use crate::error::FarmError;
use crate::farm::Farm;
use crate::state::live_hub::{Next, Seat};
use crate::state::trace_piece::TracePiece;

use super::stored::piece_at;
use super::tail;

/// What a follower of a trace gets.
#[derive(Clone, Debug)]
pub enum TraceEvent {
    /// More of the trace.
    Piece(Arc<TracePiece>),
    /// What was stored when the follower came was told; what follows is new. Comes once, unless the
    /// follower is cut off before.
    CaughtUp,
    /// The follower is too slow. This is the last event; it may come again, for what follows the
    /// last piece that it took.
    Lagged,
    /// The job is over and the trace is whole. This is the last event.
    End {
        /// How the job ended.
        state: JobState,
    },
}

impl Farm {
    /// A job's trace from `from` on: what is stored, then what comes, until the job is over.
    ///
    /// Nothing is read ahead of the one who follows. While the job runs, a follower is cut off that
    /// takes nothing for as long as the settings say, or that was up to date and fell behind as far
    /// as they say.
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

/// What of the trace a follower has still to be told before it is up to date.
#[derive(Clone, Copy)]
enum History {
    /// The bytes before this one.
    Until(u64),
    /// Nothing.
    Told,
}

struct Follower {
    farm: Farm,
    job: JobId,
    seat: Seat,
    changes: watch::Receiver<()>,
    offset: u64,
    /// `None` before anybody has looked.
    history: Option<History>,
    /// When it took the last event, and where the trace ended then.
    took: Option<(Instant, u64)>,
    /// How many bytes came while it was busy with what it had taken, since it was up to date.
    missed: u64,
    is_done: bool,
}

impl Follower {
    fn new(farm: Farm, job: JobId, from: u64) -> Self {
        let fill = |room| {
            let filled = tail::fill(farm.clone(), job, room);
            farm.inner.runtime.spawn(filled).abort_handle()
        };
        let seat = farm.inner.rooms.enter(job, fill);
        Self {
            changes: seat.room.changes(),
            farm,
            job,
            seat,
            offset: from,
            history: None,
            took: None,
            missed: 0,
            is_done: false,
        }
    }

    /// The next event; `None` after the last one.
    async fn next(&mut self) -> Result<Option<TraceEvent>, FarmError> {
        if self.is_done {
            return Ok(None);
        }
        let event = match self.is_too_slow() {
            true => TraceEvent::Lagged,
            false => self.wait_for_event().await?,
        };
        match &event {
            TraceEvent::Piece(piece) => {
                let bytes = piece.end() - self.offset;
                self.offset = piece.end();
                self.farm.inner.pace.turn(bytes).await;
            }
            TraceEvent::CaughtUp => {
                self.history = Some(History::Told);
                self.missed = 0;
            }
            TraceEvent::Lagged | TraceEvent::End { .. } => self.is_done = true,
        }
        self.took = Some((Instant::now(), self.seat.room.end()));
        Ok(Some(event))
    }

    /// Whether it was busy with what it had taken for too long, while the trace grew. What it waits
    /// for here is not its fault.
    fn is_too_slow(&mut self) -> bool {
        let Some((at, end)) = self.took else {
            return false;
        };
        let settings = &self.farm.inner.settings;
        self.missed += self.seat.room.end().saturating_sub(end);
        let is_behind = matches!(self.history, Some(History::Told))
            && self.missed > settings.max_reader_lag_bytes;
        (is_behind || at.elapsed() > settings.slow_reader) && !self.seat.room.is_over()
    }

    async fn wait_for_event(&mut self) -> Result<TraceEvent, FarmError> {
        loop {
            // What changes from here on is heard of below.
            self.changes.borrow_and_update();
            if let Some((next, end)) = self.seat.room.next(self.offset)
                && let Some(event) = self.event(next, end).await?
            {
                return Ok(event);
            }
            tokio::select! {
                // The room is there for as long as its seats are.
                _ = self.changes.changed() => {}
                () = self.farm.inner.stopping.cancelled() => {
                    return Err(FarmError::Unavailable("the coordinator is stopping".to_owned()));
                }
            }
        }
    }

    async fn event(&mut self, next: Next, end: u64) -> Result<Option<TraceEvent>, FarmError> {
        let history = *self.history.get_or_insert(History::Until(end));
        match history {
            History::Until(end) if self.offset >= end => return Ok(Some(TraceEvent::CaughtUp)),
            History::Until(_) | History::Told => {}
        }
        Ok(match next {
            Next::Piece(piece) => Some(TraceEvent::Piece(piece)),
            Next::Stored => {
                let blocks = &self.seat.room.blocks;
                let piece = piece_at(blocks, &self.farm, self.job, self.offset).await?;
                piece.map(TraceEvent::Piece)
            }
            Next::Nothing => {
                self.missed = 0;
                None
            }
            Next::Over(state) => Some(TraceEvent::End { state }),
            Next::Gone => return Err(FarmError::NotFound("job")),
        })
    }
}

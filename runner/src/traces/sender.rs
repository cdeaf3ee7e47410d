//! Sends a job's trace to the coordinator, piece by piece, from the offset that the coordinator has.

use std::time::Duration;

use slipway_domain::JobToken;

use crate::backoff::RequestBackoff;
use crate::client::{CoordinatorClient, TraceAnswer};
use crate::jobs::stop::{Stop, StopCause};
use crate::traces::spool::Spool;

/// The largest piece, in bytes.
const MAX_PIECE: usize = 1024 * 1024;
/// A piece of at least this many bytes is sent immediately; a smaller one waits for more output.
const MIN_PIECE: u64 = 64 * 1024;
/// How long a small piece waits.
const MAX_DELAY: Duration = Duration::from_secs(1);
/// How long it waits while somebody follows the trace: lines that are written together are sent together.
const FOLLOWED_DELAY: Duration = Duration::from_millis(5);

/// How much of a trace the coordinator took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The coordinator has all of it.
    Complete,
    /// The coordinator takes no more of it.
    Refused,
}

/// What to do after a piece was sent.
enum Next {
    Continue,
    /// The coordinator takes no more.
    GiveUp,
    /// Send it again, at the earliest after the time that the coordinator asked for.
    Retry(Option<Duration>),
}

/// Sends one trace.
pub struct TraceSender<'a> {
    coordinator: &'a CoordinatorClient,
    job: i64,
    token: JobToken,
    spool: &'a Spool,
    /// How many bytes the coordinator has, as far as we know.
    stored: u64,
    /// Whether somebody follows the trace, according to the last answer.
    is_followed: bool,
}

impl<'a> TraceSender<'a> {
    /// Creates a sender that starts with the first byte.
    pub fn new(
        coordinator: &'a CoordinatorClient,
        job: i64,
        token: JobToken,
        spool: &'a Spool,
    ) -> Self {
        Self {
            coordinator,
            job,
            token,
            spool,
            stored: 0,
            is_followed: false,
        }
    }

    /// Continues from the length that the coordinator reported.
    pub fn resume_from(&mut self, stored: u64) {
        // A coordinator that reports more than we wrote must not make us skip output.
        self.stored = stored.min(self.spool.follow().borrow().length);
    }

    /// Sends the trace while it is written, until all of it is stored.
    ///
    /// If an answer says that the job was ended, this stops the job and still sends the rest.
    pub async fn run(&mut self, stop: &Stop) -> Delivery {
        let mut spool = self.spool.follow();
        let mut backoff = RequestBackoff::new();
        loop {
            let stored = self.stored;
            let more = spool.wait_for(|state| state.length > stored || state.is_complete);
            let state = match more.await {
                Ok(state) => *state,
                // The spool is gone, so there is nothing left to send.
                Err(_) => return Delivery::Refused,
            };
            if state.length <= stored {
                return Delivery::Complete;
            }
            if !state.is_complete && state.length - stored < MIN_PIECE {
                let enough =
                    spool.wait_for(|state| state.length - stored >= MIN_PIECE || state.is_complete);
                let delay = if self.is_followed {
                    FOLLOWED_DELAY
                } else {
                    MAX_DELAY
                };
                // After the timeout the small piece is sent as it is.
                let _ = tokio::time::timeout(delay, enough).await;
            }
            match self.send_piece(stop).await {
                Next::Continue => backoff.reset(),
                Next::GiveUp => return Delivery::Refused,
                Next::Retry(after) => tokio::time::sleep(backoff.after_failure(after)).await,
            }
        }
    }

    async fn send_piece(&mut self, stop: &Stop) -> Next {
        let piece = match self.spool.read(self.stored, MAX_PIECE) {
            Ok(piece) => piece,
            Err(error) => {
                tracing::error!("Could not read back the trace of job {}: {error}", self.job);
                return Next::Retry(None);
            }
        };
        let answer = self
            .coordinator
            .send_trace(&self.token, self.job, self.stored, piece)
            .await;
        if let TraceAnswer::Stored { is_followed, .. } = answer {
            self.is_followed = is_followed;
        }
        match answer {
            TraceAnswer::Stored {
                length, is_ended, ..
            }
            | TraceAnswer::WrongOffset { length, is_ended } => {
                let before = self.stored;
                self.resume_from(length);
                if is_ended {
                    stop.stop(StopCause::EndedByCoordinator);
                }
                // Without progress the next request would fail in the same way.
                if self.stored == before {
                    Next::Retry(None)
                } else {
                    Next::Continue
                }
            }
            TraceAnswer::Gone => {
                stop.stop(StopCause::EndedByCoordinator);
                Next::GiveUp
            }
            TraceAnswer::Retry(retry) => {
                tracing::debug!(
                    "Sending the trace of job {} failed and is retried: {}",
                    self.job,
                    retry.why
                );
                Next::Retry(retry.after)
            }
        }
    }
}

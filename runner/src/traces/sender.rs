//! Sends a job's trace to the coordinator, piece by piece, from where the coordinator says.

use std::time::Duration;

use slipway_domain::JobToken;

use crate::backoff::Backoff;
use crate::client::{Coordinator, Sent};
use crate::jobs::stop::{Stop, StopCause};
use crate::traces::spool::Spool;

/// The largest piece, in bytes.
const MAX_PIECE: usize = 1024 * 1024;
/// So many bytes are sent at once; fewer wait for company.
const ENOUGH: u64 = 64 * 1024;
/// How long a few bytes wait.
const PAUSE: Duration = Duration::from_secs(1);

/// How a trace stands with the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The coordinator holds all of it.
    Whole,
    /// The coordinator takes no more of it.
    Refused,
}

/// Sends one trace.
pub struct TraceSender<'a> {
    coordinator: &'a Coordinator,
    job: i64,
    token: JobToken,
    spool: &'a Spool,
    /// How many bytes the coordinator is known to hold.
    held: u64,
}

impl<'a> TraceSender<'a> {
    /// A sender that begins at the beginning.
    pub fn new(coordinator: &'a Coordinator, job: i64, token: JobToken, spool: &'a Spool) -> Self {
        Self {
            coordinator,
            job,
            token,
            spool,
            held: 0,
        }
    }

    /// Goes back, or forward, to what the coordinator says it holds.
    pub fn resume_from(&mut self, held: u64) {
        self.held = held.min(self.spool.follow().borrow().length);
    }

    /// Sends what is written, as it is written, until the trace has ended and was stored whole.
    /// An answer that says that the job is over stops the job; its last words are sent yet.
    pub async fn run(&mut self, stop: &Stop) -> Delivery {
        let mut written = self.spool.follow();
        let mut backoff = Backoff::new();
        loop {
            let held = self.held;
            let more = written.wait_for(|now| now.length > held || now.has_ended);
            let now = match more.await {
                Ok(now) => *now,
                Err(_) => return Delivery::Refused,
            };
            if now.length <= held {
                return Delivery::Whole;
            }
            if !now.has_ended && now.length - held < ENOUGH {
                let enough = written.wait_for(|now| now.length - held >= ENOUGH || now.has_ended);
                // Either way there is something to send.
                let _ = tokio::time::timeout(PAUSE, enough).await;
            }
            match self.send_piece(stop).await {
                Ok(true) => backoff = Backoff::new(),
                Ok(false) => return Delivery::Refused,
                Err(after) => tokio::time::sleep(backoff.after_failure(after)).await,
            }
        }
    }

    /// Sends one piece. `false`: no more is taken. The error is the wait that was asked for.
    async fn send_piece(&mut self, stop: &Stop) -> Result<bool, Option<Duration>> {
        let piece = match self.spool.read(self.held, MAX_PIECE) {
            Ok(piece) => piece,
            Err(error) => {
                tracing::error!(job.id = self.job, %error, "The trace cannot be read back");
                return Err(None);
            }
        };
        let sent = self
            .coordinator
            .send_trace(&self.token, self.job, self.held, piece)
            .await;
        match sent {
            Sent::Stored { length, is_over } | Sent::Elsewhere { length, is_over } => {
                let before = self.held;
                self.resume_from(length);
                if is_over {
                    stop.stop(StopCause::Taken);
                }
                // A coordinator that stays where it is gets time.
                if self.held == before {
                    Err(None)
                } else {
                    Ok(true)
                }
            }
            Sent::Gone => {
                stop.stop(StopCause::Taken);
                Ok(false)
            }
            Sent::Retry(retry) => {
                tracing::debug!(job.id = self.job, "The trace waits: {}", retry.why);
                Err(retry.after)
            }
        }
    }
}

//! Stopping one job: once, with the reason that came first.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Why a job is stopped before it ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// The coordinator ended it, or took it away: it is no longer ours to report on.
    Taken,
    /// It took longer than it may.
    TimedOut,
    /// The runner was told to stop.
    Told,
    /// Its trace cannot be written any more, because the disk is full.
    DiskFull,
}

/// The signal that stops one job. Clones are the same signal.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    token: CancellationToken,
    cause: Arc<OnceLock<StopCause>>,
}

impl Stop {
    /// Stops the job; later causes do not replace the first.
    pub fn stop(&self, cause: StopCause) {
        // A cause that is there already came first.
        let _ = self.cause.set(cause);
        self.token.cancel();
    }

    /// Why the job was stopped, if it was.
    pub fn cause(&self) -> Option<StopCause> {
        self.cause.get().copied()
    }

    /// Waits until the job is stopped.
    pub async fn stopped(&self) {
        self.token.cancelled().await;
    }

    /// The same signal for those who need no reason.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}

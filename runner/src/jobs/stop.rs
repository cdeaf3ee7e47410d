//! Stopping one job: once, with the first cause.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Why a job is stopped before it ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// The coordinator canceled the job or gave it to another runner, so this runner must not
    /// report its result any more.
    EndedByCoordinator,
    /// The job reached its time limit.
    TimedOut,
    /// The runner is stopping.
    RunnerStopping,
    /// The trace could not be written because the disk is full.
    DiskFull,
}

/// The signal that stops one job. Clones share the signal.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    token: CancellationToken,
    cause: Arc<OnceLock<StopCause>>,
}

impl Stop {
    /// Stops the job. Later causes do not replace the first.
    pub fn stop(&self, cause: StopCause) {
        // It fails if there is a cause already, which then came first. The cause is set before the
        // signal, so that everything that sees the signal also finds the cause.
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

    /// The signal for code that does not need the cause.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}

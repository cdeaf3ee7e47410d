//! The runner as a whole: polls, runs what it claims, and ends in order.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::info;
use crate::jobs::Jobs;
use crate::poll::{Claimed, Poller};

/// How a runner is told to end.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// Claim nothing more; running jobs finish.
    pub drain: CancellationToken,
    /// Stop running jobs, and report them.
    pub stop: CancellationToken,
}

impl Ending {
    /// Ends as SIGTERM and SIGINT say: the first drains, the second stops.
    ///
    /// # Errors
    /// When signals cannot be heard.
    pub fn by_signals() -> std::io::Result<Self> {
        let ending = Self::default();
        let mut term = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let told = ending.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if told.drain.is_cancelled() {
                    tracing::warn!("Stopping at once");
                    told.stop.cancel();
                } else {
                    tracing::info!("Draining: no new claims; a second signal stops running jobs");
                    told.drain.cancel();
                }
            }
        });
        Ok(ending)
    }
}

/// Runs jobs until it is told to end and the last of them is reported.
pub async fn run(jobs: Arc<Jobs>, slots: usize, free_floor: u64, ending: &Ending) {
    jobs.executor.sweep().await;
    let info = info(jobs.executor.name(), &jobs.emulates);
    let mut poller = Poller::new(Arc::clone(&jobs), info, slots, free_floor);
    let running = TaskTracker::new();
    loop {
        let next = tokio::select! {
            biased;
            () = ending.drain.cancelled() => None,
            next = poller.next() => next,
        };
        let Some((claimed, slot)) = next else {
            break;
        };
        let jobs = Arc::clone(&jobs);
        let job = tokio::spawn(async move {
            match claimed {
                Claimed::Job(payload) => jobs.run(*payload).await,
                Claimed::Unreadable(id) => jobs.refuse(id).await,
            }
            drop(slot);
            jobs.executor.tidy().await;
        });
        running.spawn(async {
            // A job that panicked is lost by its lease; the runner goes on.
            if let Err(error) = job.await {
                tracing::error!(%error, "A job's task ended badly");
            }
        });
    }
    running.close();
    running.wait().await;
    tracing::info!("Ended");
}

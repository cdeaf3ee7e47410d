//! The manager: one process of a runner. It claims jobs, runs them, and shuts down in order.

use std::sync::Arc;
use std::time::Duration;

use slipway_domain::TrustLevel;
use slipway_protocol::Info;
use slipway_tasks::{StopSignal, StopSignals, run_every, spawn};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::info;
use crate::health::Health;
use crate::jobs::JobRunner;
use crate::poll::{Claimed, Poller};

/// How often leftovers in the engine are looked after, if there are some.
const LEFTOVERS_EVERY: Duration = Duration::from_secs(2);

/// The two steps in which a manager shuts down.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Claim no more jobs; running jobs finish.
    pub drain: CancellationToken,
    /// Stop running jobs and report them.
    pub stop: CancellationToken,
}

impl Shutdown {
    /// Shuts down on signals: the first one drains, the second one stops. A closed terminal only
    /// drains, because it may be reported more than once.
    ///
    /// # Errors
    /// Fails if the signal handlers cannot be installed.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::default();
        let mut signals = StopSignals::install()?;
        let requested = shutdown.clone();
        spawn("signals", async move {
            loop {
                let signal = signals.next().await;
                if !requested.drain.is_cancelled() {
                    tracing::info!("Draining: no new claims; a second signal stops running jobs");
                    requested.drain.cancel();
                } else if signal == StopSignal::Requested {
                    tracing::warn!("Stopping the running jobs");
                    requested.stop.cancel();
                }
            }
        });
        Ok(shutdown)
    }
}

/// Runs jobs until `shutdown`. Returns when the last job has been reported.
pub async fn run(jobs: Arc<JobRunner>, slots: usize, min_free_bytes: u64, shutdown: &Shutdown) {
    if let Err(why) = jobs.executor.remove_leftovers().await {
        tracing::warn!("Could not delete leftovers from the engine yet: {why}");
        jobs.leftovers.note_engine_lost();
    }
    let ended = CancellationToken::new();
    let _ended = ended.clone().drop_guard();
    let cleaned = Arc::clone(&jobs);
    run_every("leftovers", LEFTOVERS_EVERY, ended, move || {
        let jobs = Arc::clone(&cleaned);
        async move { jobs.leftovers.remove(jobs.executor.as_ref()).await }
    });
    let info = Info {
        trust: jobs.trust.iter().map(TrustLevel::to_string).collect(),
        notes: jobs.executor.notes().to_vec(),
        ..info(jobs.executor.name(), &jobs.emulates)
    };
    let health = Health::default();
    let mut poller = Poller::new(
        Arc::clone(&jobs),
        info,
        slots,
        min_free_bytes,
        health.clone(),
    );
    let running = TaskTracker::new();
    loop {
        let next = tokio::select! {
            // Draining goes first: a job that is claimed at the same moment would delay the end.
            biased;
            () = shutdown.drain.cancelled() => None,
            next = poller.next() => next,
        };
        let Some((claimed, slot)) = next else {
            break;
        };
        // At the level `error`, no log filter can hide which job a line is about.
        let span = tracing::error_span!("job", job.id = claimed.id());
        let (jobs, health) = (Arc::clone(&jobs), health.clone());
        let job = running.track_future(async move {
            match claimed {
                Claimed::Job(payload) => jobs.run(*payload, &health).await,
                Claimed::Unreadable(id) => jobs.refuse(id).await,
            }
            // Pruning can take long; the next job need not wait for it.
            drop(slot);
            jobs.executor.prune_cache().await;
        });
        // The lease of a job that panics expires and the coordinator retries it, so the runner
        // keeps going.
        span.in_scope(|| spawn("job", job));
    }
    running.close();
    running.wait().await;
    tracing::info!("All jobs have ended; the runner exits");
}

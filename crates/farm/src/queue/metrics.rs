//! Numbers about the queue for monitoring.

use slipway_domain::ProjectId;
use slipway_store::{Conn, queue};

use crate::error::FarmError;
use crate::farm::Farm;

/// The state of the queue in a few numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FarmMetrics {
    /// Polls that are parked at this coordinator.
    pub parked_polls: i64,
    /// Jobs that wait for a runner.
    pub pending: i64,
    pub running: i64,
    /// For how long the oldest pending job has waited, in seconds.
    pub oldest_wait_s: i64,
}

impl Farm {
    /// The state of the queue in a few numbers.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn metrics(&self) -> Result<FarmMetrics, FarmError> {
        let now = self.now();
        let read = move |conn: &mut Conn| {
            let mut metrics = FarmMetrics {
                running: queue::running_total(conn)?,
                ..FarmMetrics::default()
            };
            for line in queue::pending_queues(conn)?.0 {
                let (count, oldest) = queue::backlog(conn, line.key)?;
                metrics.pending += count;
                let wait = oldest.map_or(0, |since| (now - since).num_seconds());
                metrics.oldest_wait_s = metrics.oldest_wait_s.max(wait);
            }
            Ok(metrics)
        };
        let metrics = self.read(read).await?;
        let parked_polls = i64::try_from(self.parked_polls()).unwrap_or(i64::MAX);
        Ok(FarmMetrics {
            parked_polls,
            ..metrics
        })
    }

    /// How many jobs of a project are running.
    pub async fn running_jobs(&self, project: ProjectId) -> Result<u32, FarmError> {
        self.read(move |conn| queue::running(conn, project)).await
    }
}

//! How the farm goes, in a few numbers for monitoring.

use slipway_domain::ProjectId;
use slipway_store::{Conn, queue};

use crate::error::FarmError;
use crate::farm::Farm;

/// How the farm goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Runners that wait for a job at this coordinator.
    pub parked_polls: i64,
    /// Jobs that wait for a runner.
    pub pending: i64,
    /// Jobs that a runner has.
    pub running: i64,
    /// How long the oldest pending job waits, in seconds.
    pub oldest_wait_s: i64,
}

impl Farm {
    /// How the farm goes.
    ///
    /// # Errors
    /// `Unavailable` when the database is.
    pub async fn figures(&self) -> Result<Figures, FarmError> {
        let now = self.now();
        let look = move |conn: &mut Conn| {
            let mut figures = Figures {
                running: queue::running_total(conn)?,
                ..Figures::default()
            };
            for line in queue::pending_queues(conn)?.0 {
                let (count, oldest) = queue::backlog(conn, line.key)?;
                figures.pending += count;
                let wait = oldest.map_or(0, |since| (now - since).num_seconds());
                figures.oldest_wait_s = figures.oldest_wait_s.max(wait);
            }
            Ok(figures)
        };
        let figures = self.read(look).await?;
        let parked_polls = i64::try_from(self.parked_polls()).unwrap_or(i64::MAX);
        Ok(Figures {
            parked_polls,
            ..figures
        })
    }

    /// How many jobs of a project are running.
    pub async fn running_jobs(&self, project: ProjectId) -> Result<u32, FarmError> {
        self.read(move |conn| queue::running(conn, project)).await
    }
}

//! Numbers about the queue for monitoring.

use chrono::{DateTime, Utc};
use slipway_store::{Conn, StoreError, queue};

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
    /// How many sign-ins were refused because there were too many.
    pub refused_sign_ins: u64,
}

/// The numbers that come from the database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueNumbers {
    pending: i64,
    running: i64,
    /// Since when the oldest pending job waits.
    oldest: Option<DateTime<Utc>>,
}

fn queue_numbers(conn: &mut Conn) -> Result<QueueNumbers, StoreError> {
    let (pending, oldest) = queue::pending_total(conn)?;
    Ok(QueueNumbers {
        pending,
        running: queue::running_total(conn)?,
        oldest,
    })
}

impl Farm {
    /// The state of the queue in a few numbers, which may be some seconds old if the queue is long.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn metrics(&self) -> Result<FarmMetrics, FarmError> {
        let farm = self.clone();
        let read = async move {
            let numbers = farm.read(queue_numbers).await;
            numbers.inspect_err(FarmError::log).ok()
        };
        let numbers = self.inner.queue_numbers.get(|| read).await;
        let numbers = numbers
            .ok_or_else(|| FarmError::Unavailable("the database does not answer".to_owned()))?;
        let wait = numbers.oldest.map(|since| self.now() - since);
        Ok(FarmMetrics {
            parked_polls: i64::try_from(self.parked_polls()).unwrap_or(i64::MAX),
            pending: numbers.pending,
            running: numbers.running,
            oldest_wait_s: wait.map_or(0, |wait| wait.num_seconds().max(0)),
            refused_sign_ins: self.inner.sign_ins.refused(),
        })
    }
}

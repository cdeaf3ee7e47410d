//! Numbers about the queue for monitoring.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use slipway_domain::QueueKeyId;
use slipway_store::queue::Backlog;
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

/// The longest queue that is counted at each request for it.
const SHORT_QUEUE: i64 = 100;

/// The numbers that come from the database.
#[derive(Clone, Debug)]
pub(crate) struct QueueNumbers {
    pending: i64,
    running: i64,
    /// Since when the oldest pending job waits.
    oldest: Option<DateTime<Utc>>,
    backlogs: Backlogs,
}

/// The pending jobs under each queue key.
pub(crate) type Backlogs = Arc<HashMap<QueueKeyId, Backlog>>;

fn queue_numbers(conn: &mut Conn) -> Result<QueueNumbers, StoreError> {
    let backlogs = queue::backlogs(conn)?;
    Ok(QueueNumbers {
        pending: backlogs.values().map(|backlog| backlog.count).sum(),
        running: queue::running_total(conn)?,
        oldest: backlogs.values().filter_map(|backlog| backlog.oldest).min(),
        backlogs: Arc::new(backlogs),
    })
}

impl Farm {
    /// The state of the queue in a few numbers, which may be some seconds old if the queue is long.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn metrics(&self) -> Result<FarmMetrics, FarmError> {
        let numbers = self.queue_numbers().await?;
        let wait = numbers.oldest.map(|since| self.now() - since);
        Ok(FarmMetrics {
            parked_polls: i64::try_from(self.parked_polls()).unwrap_or(i64::MAX),
            pending: numbers.pending,
            running: numbers.running,
            oldest_wait_s: wait.map_or(0, |wait| wait.num_seconds().max(0)),
            refused_sign_ins: self.inner.sign_ins.refused(),
        })
    }

    /// The pending jobs under each queue key. If the queue is long, they may be some seconds old.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) async fn backlogs(&self) -> Result<Backlogs, FarmError> {
        let few = self.read(|conn| queue::backlogs_of_few(conn, SHORT_QUEUE));
        match few.await? {
            Some(backlogs) => Ok(Arc::new(backlogs)),
            None => Ok(self.queue_numbers().await?.backlogs),
        }
    }

    /// The numbers of the queue. Reading them takes longer the more jobs are pending.
    async fn queue_numbers(&self) -> Result<QueueNumbers, FarmError> {
        let farm = self.clone();
        let read = async move {
            let numbers = farm.read(queue_numbers).await;
            numbers.inspect_err(FarmError::log).ok()
        };
        let numbers = self.inner.queue_numbers.get(|| read).await;
        numbers.ok_or_else(|| FarmError::Unavailable("the database does not answer".to_owned()))
    }
}

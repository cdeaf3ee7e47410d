//! How far a duty has come that goes through jobs in the order of their end.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use slipway_domain::JobId;

/// The last job that was handled, and when it ended.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<Option<(DateTime<Utc>, JobId)>>);

impl Progress {
    /// `None` if no job was handled since the start.
    pub(crate) fn get(&self) -> Option<(DateTime<Utc>, JobId)> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, last: (DateTime<Utc>, JobId)) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
}

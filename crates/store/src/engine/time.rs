//! Times as they are stored: milliseconds since the Unix epoch, UTC.

use chrono::{DateTime, Utc};
use slipway_domain::RunnerId;

use crate::error::StoreError;

/// A time as it is stored.
pub(crate) fn to_ms(time: DateTime<Utc>) -> i64 {
    time.timestamp_millis()
}

/// A stored time.
pub(crate) fn from_ms(ms: i64) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_millis(ms).ok_or(StoreError::Corrupt("time"))
}

/// A stored time that may be absent.
pub(crate) fn from_opt_ms(ms: Option<i64>) -> Result<Option<DateTime<Utc>>, StoreError> {
    ms.map(from_ms).transpose()
}

/// Reads a stored value back into its type.
pub(crate) fn parse<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt(what))
}

/// A runner for whose sake something holds for a while, as its two columns say it.
pub(crate) fn runner_until(
    runner: Option<i64>,
    until: Option<i64>,
) -> Result<Option<(RunnerId, DateTime<Utc>)>, StoreError> {
    match (runner, until) {
        (Some(runner), Some(until)) => Ok(Some((RunnerId(runner), from_ms(until)?))),
        _ => Ok(None),
    }
}

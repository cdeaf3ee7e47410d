//! Conversions between stored values and their types. Times are stored as milliseconds since the
//! Unix epoch, in UTC.

use chrono::{DateTime, Utc};
use slipway_domain::RunnerId;

use crate::error::StoreError;

pub(crate) fn to_ms(time: DateTime<Utc>) -> i64 {
    time.timestamp_millis()
}

pub(crate) fn from_ms(ms: i64) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_millis(ms).ok_or(StoreError::Corrupt("time"))
}

pub(crate) fn from_opt_ms(ms: Option<i64>) -> Result<Option<DateTime<Utc>>, StoreError> {
    ms.map(from_ms).transpose()
}

/// Parses a stored value. `what` names it in the error.
pub(crate) fn parse<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt(what))
}

/// A runner and a time from two nullable columns that are set together.
pub(crate) fn runner_until(
    runner: Option<i64>,
    until: Option<i64>,
) -> Result<Option<(RunnerId, DateTime<Utc>)>, StoreError> {
    match (runner, until) {
        (Some(runner), Some(until)) => Ok(Some((RunnerId(runner), from_ms(until)?))),
        _ => Ok(None),
    }
}

//! Options that are a number of seconds.

use std::time::Duration;

/// Parses a whole number of seconds above 0.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(u64::from(seconds))),
        _ => Err("expected a whole number of seconds above 0".to_owned()),
    }
}

/// Parses a whole number of seconds; 0 is allowed.
pub(crate) fn seconds_or_none(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds) => Ok(Duration::from_secs(u64::from(seconds))),
        Err(_) => Err("expected a whole number of seconds".to_owned()),
    }
}

//! Requests to a farm.

use std::time::Duration;

/// How long a connection may wait for its next request. The coordinator closes it after 5 s, and a
/// request that is sent at that moment is lost.
const IDLE: Duration = Duration::from_secs(2);

/// The beginning of a client for a farm.
pub fn http() -> reqwest::ClientBuilder {
    reqwest::Client::builder().pool_idle_timeout(IDLE)
}

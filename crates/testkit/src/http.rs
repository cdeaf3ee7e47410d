//! HTTP clients for a farm.

use std::time::Duration;

/// Idle timeout of a connection. The coordinator closes idle connections after 5 s, and a request that is
/// sent at that moment fails.
const IDLE: Duration = Duration::from_secs(2);

/// A builder for clients of a farm.
pub fn http() -> reqwest::ClientBuilder {
    reqwest::Client::builder().pool_idle_timeout(IDLE)
}

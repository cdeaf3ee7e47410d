//! What the operator configures for this API alone.

use std::time::Duration;

/// The settings of Quay's API.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether readers of a project may read its logs. Otherwise only roles that may build can.
    pub reader_build_logs: bool,
    /// Whether the API is read-only: requests that change something are refused with 503.
    pub read_only: bool,
    /// How long after the end of a build its log is served as a whole, from a URL of its own.
    pub log_complete_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reader_build_logs: true,
            read_only: false,
            log_complete_after: Duration::from_secs(30),
        }
    }
}

//! How long to wait before a request to the coordinator is sent again.

use std::time::Duration;

use slipway_domain::backoff::Backoff;

/// The first delay.
const FIRST: Duration = Duration::from_millis(200);
/// The longest delay between reports on a running job. A lease of 15 s leaves time for several.
const LONGEST: Duration = Duration::from_secs(5);

/// Delays that double up to a limit. Each is shortened at random by up to half, so that runners
/// that lost the coordinator together do not come back together.
#[derive(Debug)]
pub struct RequestBackoff(Backoff);

impl RequestBackoff {
    /// The delays for reports on a running job.
    pub fn new() -> Self {
        Self::up_to(LONGEST)
    }

    /// The delays with another limit.
    pub fn up_to(longest: Duration) -> Self {
        Self(Backoff::new(FIRST, longest).with_jitter(0.5, 1.0))
    }

    /// Counts a failure and returns how long to wait. `retry_after` is the time that the server
    /// asked for; the delay is never shorter.
    pub fn after_failure(&mut self, retry_after: Option<Duration>) -> Duration {
        let delay = self.0.next_delay(rand::random());
        delay.max(retry_after.unwrap_or_default())
    }

    /// Starts again with the first delay, after a success.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

impl Default for RequestBackoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_limit_and_respect_retry_after() {
        let mut backoff = RequestBackoff::up_to(Duration::from_secs(3));
        let delays: Vec<Duration> = (0..20).map(|_| backoff.after_failure(None)).collect();
        assert!(delays[0] <= Duration::from_millis(200));
        assert!(delays[19] >= Duration::from_millis(1500));
        assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(3)));
        let asked = Duration::from_secs(60);
        assert!(backoff.after_failure(Some(asked)) >= asked);
        backoff.reset();
        assert!(backoff.after_failure(None) <= Duration::from_millis(200));
    }
}

//! How long to wait before a request is sent again.

use std::time::Duration;

/// Waits that double up to a limit, each shortened by chance so that runners do not march in step.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    /// The first wait of a report on a job.
    const FIRST: Duration = Duration::from_millis(200);
    /// The longest wait of a report on a job; a lease of 15 s has room for several of them.
    const MOST: Duration = Duration::from_secs(5);

    /// Begins anew, for reports on a running job.
    pub fn new() -> Self {
        Self::up_to(Self::MOST)
    }

    /// Begins anew, with another limit.
    pub fn up_to(most: Duration) -> Self {
        Self {
            next: Self::FIRST,
            most,
        }
    }

    /// The wait after one more failure; `asked` is what the server asked for, which counts.
    pub fn after_failure(&mut self, asked: Option<Duration>) -> Duration {
        let wait = self.next.mul_f64(rand::random_range(0.5..=1.0));
        self.next = (self.next * 2).min(self.most);
        wait.max(asked.unwrap_or_default())
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_heed_the_server() {
        let mut backoff = Backoff::up_to(Duration::from_secs(3));
        let waits: Vec<Duration> = (0..20).map(|_| backoff.after_failure(None)).collect();
        assert!(waits[0] <= Duration::from_millis(200));
        assert!(waits[19] >= Duration::from_millis(1500));
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(3)));
        let asked = Duration::from_secs(60);
        assert!(backoff.after_failure(Some(asked)) >= asked);
    }
}

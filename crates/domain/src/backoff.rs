//! How long to wait before the next attempt: delays that double up to a limit.
//!
//! The caller brings the random fraction and does the waiting, so this stays a pure function.

use std::time::Duration;

/// Exponential delays with jitter, and how many attempts failed so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    lowest_factor: f64,
    highest_factor: f64,
    failures: u32,
}

impl Backoff {
    /// The first delay is `first`; each further one is twice as long, up to `longest`. There is no
    /// jitter.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            lowest_factor: 1.0,
            highest_factor: 1.0,
            failures: 0,
        }
    }

    /// Multiplies each delay by a random factor in this range, so that clients that failed together
    /// do not come back together.
    #[must_use]
    pub const fn with_jitter(mut self, lowest_factor: f64, highest_factor: f64) -> Self {
        self.lowest_factor = lowest_factor;
        self.highest_factor = highest_factor;
        self
    }

    /// Counts one more failure and returns the delay after it. `fraction`, from 0 to 1, picks the
    /// factor within the jitter.
    pub fn next_delay(&mut self, fraction: f64) -> Duration {
        let delay = self.delay_after(self.failures, fraction);
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// The delay after a failure that followed `earlier` others.
    pub fn delay_after(&self, earlier: u32, fraction: f64) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(earlier));
        // The limit comes before the jitter: at the limit the delays must still differ.
        let delay = doubled.min(self.longest);
        let range = self.highest_factor - self.lowest_factor;
        let factor = self.lowest_factor + range * fraction.clamp(0.0, 1.0);
        Duration::try_from_secs_f64(delay.as_secs_f64() * factor).unwrap_or(delay)
    }

    /// How many attempts failed since the start or the last [`Backoff::reset`].
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Starts again with the first delay, after a success.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delays_double_up_to_the_longest_and_start_again_after_a_reset() {
        let mut backoff = Backoff::new(SECOND, 5 * SECOND);
        let delays = [(); 5].map(|()| backoff.next_delay(0.5).as_secs());
        assert_eq!(delays, [1, 2, 4, 5, 5]);
        assert_eq!(backoff.failures(), 5);
        backoff.reset();
        assert_eq!(backoff.next_delay(0.5), SECOND);
    }

    #[test]
    fn the_fraction_picks_the_factor_within_the_jitter() {
        let backoff = Backoff::new(SECOND, SECOND).with_jitter(0.5, 1.5);
        for (fraction, millis) in [(0.0, 500), (0.5, 1000), (1.0, 1500), (7.0, 1500)] {
            let delay = backoff.delay_after(0, fraction);
            assert_eq!(delay.as_millis(), millis, "{fraction}");
        }
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let backoff = Backoff::new(SECOND, Duration::MAX).with_jitter(0.5, 0.5);
        assert!(backoff.delay_after(u32::MAX, 0.0) > SECOND);
        let endless = Backoff::new(SECOND, Duration::MAX);
        assert!(endless.delay_after(70, 0.0) > SECOND);
    }
}

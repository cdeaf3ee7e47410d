//! Rates of what many keys do: tokens, addresses, accounts. Only in memory, and bounded.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The most keys that are remembered. When there are more, those at rest are forgotten, and if there
/// are too many others, all new keys share one rate.
const MAX_KEYS: usize = 50_000;

/// How often something may happen: `burst` times at once, and `per_second` times a second over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub per_second: f64,
    pub burst: u32,
}

/// The rate of each of many keys.
#[derive(Debug)]
pub struct KeyedRates {
    interval: Duration,
    /// How far ahead of the present a key may be.
    tolerance: Duration,
    hasher: RandomState,
    /// For each key the time at which its whole burst is available again.
    full_at: Mutex<HashMap<u64, Instant>>,
}

impl KeyedRates {
    /// The same rate for each key; `None` if the rate is zero, which means no limit.
    pub fn new(rate: Rate) -> Option<Self> {
        let interval = Duration::try_from_secs_f64(rate.per_second.recip()).ok()?;
        Some(Self {
            interval,
            tolerance: interval.saturating_mul(rate.burst.saturating_sub(1)),
            hasher: RandomState::new(),
            full_at: Mutex::default(),
        })
    }

    /// Counts one event of `key`.
    ///
    /// # Errors
    /// The time after which the next event is allowed, if this one is not. It is not counted.
    pub fn take(&self, key: impl Hash, now: Instant) -> Result<(), Duration> {
        let mut full_at = lock(&self.full_at);
        let key = self.slot(&mut full_at, &key, now);
        let at = full_at.get(&key).map_or(now, |at| (*at).max(now));
        self.allowed(at, now)?;
        full_at.insert(key, at + self.interval);
        Ok(())
    }

    /// Whether an event of `key` is allowed, without counting it.
    ///
    /// # Errors
    /// As [`KeyedRates::take`].
    pub fn check(&self, key: impl Hash, now: Instant) -> Result<(), Duration> {
        let full_at = lock(&self.full_at);
        match full_at.get(&self.hasher.hash_one(&key)) {
            Some(at) => self.allowed(*at, now),
            None => Ok(()),
        }
    }

    fn allowed(&self, at: Instant, now: Instant) -> Result<(), Duration> {
        let ahead = at.saturating_duration_since(now);
        match ahead.checked_sub(self.tolerance) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(()),
        }
    }

    fn slot(&self, full_at: &mut HashMap<u64, Instant>, key: &impl Hash, now: Instant) -> u64 {
        const SHARED: u64 = 0;
        let key = self.hasher.hash_one(key);
        if full_at.len() < MAX_KEYS || full_at.contains_key(&key) {
            return key;
        }
        full_at.retain(|_, at| *at > now);
        if full_at.len() < MAX_KEYS {
            key
        } else {
            SHARED
        }
    }
}

/// Code that holds the lock cannot panic between two changes, so a poisoned map is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(per_second: f64, burst: u32) -> KeyedRates {
        KeyedRates::new(Rate { per_second, burst }).unwrap()
    }

    #[test]
    fn a_burst_is_allowed_and_comes_back_over_time() {
        let (rates, now) = (rates(2.0, 3), Instant::now());
        for _ in 0..3 {
            assert_eq!(rates.take("a", now), Ok(()));
        }
        assert_eq!(rates.take("a", now), Err(Duration::from_millis(500)));
        assert_eq!(rates.check("a", now), Err(Duration::from_millis(500)));
        assert_eq!(rates.take("b", now), Ok(()));
        let later = now + Duration::from_millis(500);
        assert_eq!(rates.take("a", later), Ok(()));
        assert!(rates.take("a", later).is_err());
        let much_later = now + Duration::from_secs(60);
        for _ in 0..3 {
            assert_eq!(rates.take("a", much_later), Ok(()));
        }
        assert!(rates.take("a", much_later).is_err());
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let (rates, now) = (rates(0.001, 1), Instant::now());
        for key in 0..MAX_KEYS {
            assert_eq!(rates.take(key, now), Ok(()));
        }
        // All further keys share one rate until others are at rest.
        assert_eq!(rates.take("x", now), Ok(()));
        assert!(rates.take("y", now).is_err());
        assert!(lock(&rates.full_at).len() <= MAX_KEYS + 1);
        let later = now + Duration::from_secs(2000);
        assert_eq!(rates.take("y", later), Ok(()));
        assert_eq!(lock(&rates.full_at).len(), 1);
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let rate = Rate {
            per_second: 0.0,
            burst: 1,
        };
        assert!(KeyedRates::new(rate).is_none());
    }
}

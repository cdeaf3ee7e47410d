//! Values for monitoring, which anybody may request as often as they like.
//!
//! A value is read by one request at a time, and is used for twenty times as long as reading it took.
//! So the reads take a twentieth of one connection at most, however large the queue is and however many
//! requests there are.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For how many times the duration of its read a value is used.
const USED_FOR: u32 = 20;
/// Reads that take longer happen in the background, while the previous value is still used.
const SLOW: Duration = Duration::from_millis(20);
/// For how long a value is used that says that the read failed. What failed may work again soon, however
/// long it took to fail.
const FAILED_FOR: Duration = Duration::from_secs(1);
/// The oldest value that is used while the next one is read.
const MAX_AGE: Duration = Duration::from_secs(120);

/// A value that is read at most as often as it is cheap.
pub(crate) struct Cached<T>(Arc<Inner<T>>);

struct Inner<T> {
    has_failed: fn(&T) -> bool,
    last: Mutex<Option<Read<T>>>,
    /// Held while a value is read.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Read<T> {
    value: T,
    at: Instant,
    took: Duration,
    used_for: Duration,
}

impl<T> Read<T> {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() < self.used_for
    }
}

impl<T> Cached<T> {
    /// No value yet. `has_failed` says whether a value stands for a failed read.
    pub(crate) fn new(has_failed: fn(&T) -> bool) -> Self {
        Self(Arc::new(Inner {
            has_failed,
            last: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }))
    }
}

impl<T: Clone + Send + 'static> Cached<T> {
    /// The last value, or the one that `read` returns.
    pub(crate) async fn get<F>(&self, read: impl FnOnce() -> F) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        let last = self.0.last();
        if let Some(last) = last.filter(|last| last.at.elapsed() < MAX_AGE) {
            if last.is_fresh() {
                return last.value;
            }
            if last.took > SLOW {
                let (inner, reading) = (Arc::clone(&self.0), read());
                slipway_tasks::spawn("monitoring", async move {
                    if let Ok(_alone) = inner.reading.try_lock() {
                        inner.read(reading).await;
                    }
                });
                return last.value;
            }
        }
        let _alone = self.0.reading.lock().await;
        // Another request may have read it in the meantime.
        match self.0.last().filter(Read::is_fresh) {
            Some(last) => last.value,
            None => self.0.read(read()).await,
        }
    }
}

impl<T: Clone> Inner<T> {
    fn last(&self) -> Option<Read<T>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }

    async fn read(&self, reading: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let value = reading.await;
        let took = begun.elapsed();
        let read = Read {
            value: value.clone(),
            at: Instant::now(),
            took,
            used_for: if (self.has_failed)(&value) {
                FAILED_FOR
            } else {
                took * USED_FOR
            },
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
        value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Counts how often it was read; each read takes `millis`.
    async fn count(count: Arc<AtomicU32>, millis: u64) -> u32 {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        count.fetch_add(1, Ordering::Relaxed) + 1
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_used_for_twenty_times_the_duration_of_its_read() {
        let (cached, reads) = (Cached::new(|_: &u32| false), Arc::default());
        let get = || cached.get(|| count(Arc::clone(&reads), 10));
        assert_eq!(get().await, 1);
        tokio::time::advance(Duration::from_millis(190)).await;
        assert_eq!(get().await, 1);
        tokio::time::advance(Duration::from_millis(20)).await;
        assert_eq!(get().await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_at_the_same_time_share_one_read() {
        let (cached, reads) = (Cached::new(|_: &u32| false), Arc::default());
        let get = || cached.get(|| count(Arc::clone(&reads), 10));
        assert_eq!(tokio::join!(get(), get(), get()), (1, 1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_read_delays_no_request_but_the_first() {
        let (cached, reads) = (Cached::new(|_: &u32| false), Arc::default());
        let get = || cached.get(|| count(Arc::clone(&reads), 1000));
        assert_eq!(get().await, 1);
        tokio::time::advance(Duration::from_secs(21)).await;
        let begun = Instant::now();
        assert_eq!(get().await, 1);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(get().await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_used_for_a_second_however_long_it_took() {
        let (cached, reads) = (Cached::new(|read: &u32| *read == 1), Arc::default());
        let get = || cached.get(|| count(Arc::clone(&reads), 10_000));
        assert_eq!(get().await, 1);
        tokio::time::advance(Duration::from_millis(900)).await;
        assert_eq!(get().await, 1);
        tokio::time::advance(Duration::from_millis(200)).await;
        assert_eq!(get().await, 1);
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert_eq!(get().await, 2);
    }
}

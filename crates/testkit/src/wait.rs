//! Waiting for something to become true: the one place in the tests that looks again and again.
//!
//! What a test waits for is often in another process (an engine, a runner) or behind an HTTP API,
//! where there is nothing to subscribe to. Anything else in a test that sleeps is a mistake: it is
//! too short on a busy machine and too long on every other.

use std::panic::Location;
use std::time::{Duration, Instant};

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until `condition` is true, for at most `limit`.
///
/// # Panics
/// When the limit has passed, with `what` was waited for and where.
#[track_caller]
pub fn wait_until<F>(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) -> impl Future<Output = ()>
where
    F: Future<Output = bool>,
{
    wait_for(limit, what, move || {
        let held = condition();
        async { held.await.then_some(()) }
    })
}

/// Waits until `look` finds something, for at most `limit`, and gives what it found.
///
/// # Panics
/// When the limit has passed, with `what` was waited for and where.
#[track_caller]
pub fn wait_for<T, F>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> F,
) -> impl Future<Output = T>
where
    F: Future<Output = Option<T>>,
{
    let caller = Location::caller();
    async move {
        // Real time, also in a test whose tokio clock stands still.
        let end = Instant::now() + limit;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(
                Instant::now() < end,
                "{what}: not within {limit:?} (waited for at {caller})"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn it_looks_until_there_is_something() {
        let looks = AtomicU32::new(0);
        let found = wait_for(Duration::from_secs(5), "the third look", || async {
            let look = looks.fetch_add(1, Ordering::Relaxed);
            (look == 2).then_some("here")
        });
        assert_eq!(found.await, "here");
    }

    #[tokio::test]
    #[should_panic(expected = "the end of time: not within")]
    async fn it_gives_up_at_the_limit() {
        wait_until(Duration::ZERO, "the end of time", async || false).await;
    }
}

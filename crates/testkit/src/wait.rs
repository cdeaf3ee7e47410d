//! Waiting for a condition. This is the only place in the tests that polls.
//!
//! The condition is often in another process (an engine, a runner) or behind an HTTP API, where there is
//! nothing to subscribe to. A test that sleeps is wrong: the pause is too short on a busy machine and too
//! long on every other.

use std::panic::Location;
use std::time::{Duration, Instant};

/// Time between two checks.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until `condition` is true, for at most `limit`.
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

/// Waits until `check` returns a value, for at most `limit`, and returns that value.
#[track_caller]
pub fn wait_for<T, F>(
    limit: Duration,
    what: &str,
    mut check: impl FnMut() -> F,
) -> impl Future<Output = T>
where
    F: Future<Output = Option<T>>,
{
    let caller = Location::caller();
    async move {
        // Real time, even in a test whose tokio clock is paused.
        let end = Instant::now() + limit;
        loop {
            if let Some(found) = check().await {
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
    async fn wait_for_checks_until_there_is_a_value() {
        let checks = AtomicU32::new(0);
        let found = wait_for(Duration::from_secs(5), "the third check", || async {
            let check = checks.fetch_add(1, Ordering::Relaxed);
            (check == 2).then_some("found")
        });
        assert_eq!(found.await, "found");
    }

    #[tokio::test]
    #[should_panic(expected = "a false condition: not within")]
    async fn wait_until_panics_at_the_limit() {
        wait_until(Duration::ZERO, "a false condition", async || false).await;
    }
}

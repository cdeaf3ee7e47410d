//! Limits how many passwords are hashed at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many passwords are hashed at the same time; each needs 19 MiB of memory meanwhile.
const MAX_CONCURRENT: usize = 2;
/// How many passwords may wait. The last one waits for about a second.
const MAX_WAITING: usize = 32;

/// Permits to hash a password.
pub(crate) struct HashingPermits {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Default for HashingPermits {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_CONCURRENT)),
            waiting: AtomicUsize::new(0),
        }
    }
}

impl HashingPermits {
    /// Waits for a permit, which the work takes with it: it is in use until the work is done, also when
    /// nobody waits for the result any more. `None` if too many wait already.
    pub(crate) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        let _place = Place::take(&self.waiting)?;
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }
}

/// A place among those that wait.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let more = |count: usize| (count < MAX_WAITING).then_some(count + 1);
        let taken = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Self(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_permit_is_in_use_until_it_is_dropped_and_few_may_wait() {
        let permits = HashingPermits::default();
        let first = permits.acquire().await.unwrap();
        let _second = permits.acquire().await.unwrap();
        let mut waiting: Vec<_> = (0..MAX_WAITING)
            .map(|_| Box::pin(permits.acquire()))
            .collect();
        for waiter in &mut waiting {
            assert!(waiter.now_or_never().is_none());
        }
        assert!(permits.acquire().await.is_none());
        drop(first);
        assert!(waiting.remove(0).await.is_some());
        drop(waiting);
        assert!(permits.acquire().now_or_never().is_some());
    }
}

//! How many passwords are hashed at once.

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// How many passwords are hashed at once; each takes 19 MiB while it lasts.
const AT_ONCE: usize = 2;

/// Lets few hash at once.
pub(crate) struct Hashing(Semaphore);

impl Default for Hashing {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Hashing {
    /// Waits for a permit to hash.
    pub(crate) async fn acquire(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.0.acquire().await
    }
}

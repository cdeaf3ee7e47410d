//! Limits how many passwords are hashed at the same time.

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// How many passwords are hashed at the same time; each needs 19 MiB of memory meanwhile.
const MAX_CONCURRENT: usize = 2;

/// Permits to hash a password.
pub(crate) struct HashingPermits(Semaphore);

impl Default for HashingPermits {
    fn default() -> Self {
        Self(Semaphore::new(MAX_CONCURRENT))
    }
}

impl HashingPermits {
    /// Waits for a permit.
    pub(crate) async fn acquire(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.0.acquire().await
    }
}

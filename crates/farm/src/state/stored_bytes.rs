//! How much is stored for each of many owners, so that an upload need not count all files of its owner.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For how long a count is used. Uploads are added to it; what is deleted is noticed later.
const USED_FOR: Duration = Duration::from_secs(10);
/// The most owners that are remembered.
const MAX_OWNERS: usize = 10_000;

/// Counts of stored bytes.
pub(crate) struct StoredBytes<K>(Mutex<HashMap<K, Count>>);

#[derive(Clone, Copy)]
struct Count {
    bytes: u64,
    at: Instant,
}

impl<K> Default for StoredBytes<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Copy + Eq + Hash> StoredBytes<K> {
    /// The count for an owner, if it is recent.
    pub(crate) fn recent(&self, owner: K) -> Option<u64> {
        let counts = self.lock();
        let count = counts.get(&owner)?;
        (count.at.elapsed() < USED_FOR).then_some(count.bytes)
    }

    /// Remembers the count for an owner.
    pub(crate) fn counted(&self, owner: K, bytes: u64) {
        let mut counts = self.lock();
        if counts.len() >= MAX_OWNERS {
            counts.clear();
        }
        let at = Instant::now();
        counts.insert(owner, Count { bytes, at });
    }

    /// Adds what was just stored for an owner.
    pub(crate) fn add(&self, owner: K, bytes: u64) {
        if let Some(count) = self.lock().get_mut(&owner) {
            count.bytes = count.bytes.saturating_add(bytes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_count_grows_with_uploads_and_is_forgotten_after_a_while() {
        let counts = StoredBytes::default();
        counts.add(1, 5);
        assert_eq!(counts.recent(1), None);
        counts.counted(1, 10);
        counts.add(1, 5);
        assert_eq!((counts.recent(1), counts.recent(2)), (Some(15), None));
        tokio::time::advance(USED_FOR).await;
        assert_eq!(counts.recent(1), None);
    }
}

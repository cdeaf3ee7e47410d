//! The memory for the bodies of all requests together.
//!
//! What is read of a body is counted until its request is answered. Senders that are not known yet
//! share a small part of it, so that strangers cannot use up what runners and users need.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::body::BodyError;

/// Unknown senders get this part of the memory together: one over it.
const UNKNOWN_PART: usize = 4;

/// The memory for bodies. Clones share it.
#[derive(Clone, Debug)]
pub struct BodyMemory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    used: AtomicUsize,
    used_by_unknown: AtomicUsize,
    refusals: AtomicU64,
}

impl BodyMemory {
    /// Memory for `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Inner {
            limit,
            used: AtomicUsize::new(0),
            used_by_unknown: AtomicUsize::new(0),
            refusals: AtomicU64::new(0),
        }))
    }

    /// The bytes that are in use.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// How many bodies were refused because the memory was used up.
    pub fn refusals(&self) -> u64 {
        self.0.refusals.load(Ordering::Relaxed)
    }

    /// A share without bytes, for the body of one request.
    pub(crate) fn share(&self) -> MemoryShare {
        MemoryShare {
            memory: self.clone(),
            bytes: 0,
            unknown_bytes: 0,
        }
    }
}

/// The part of the memory that one body uses. It is returned when the share is dropped.
#[derive(Debug)]
pub(crate) struct MemoryShare {
    memory: BodyMemory,
    bytes: usize,
    /// How many of the bytes were read before the sender was known.
    unknown_bytes: usize,
}

impl MemoryShare {
    /// Takes `more` bytes for a known sender.
    ///
    /// # Errors
    /// [`BodyError::NoMemory`] if the memory is used up.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), BodyError> {
        let inner = &self.memory.0;
        if !take(&inner.used, more, inner.limit) {
            inner.refusals.fetch_add(1, Ordering::Relaxed);
            return Err(BodyError::NoMemory);
        }
        self.bytes += more;
        Ok(())
    }

    /// Takes `more` bytes for a sender that is not known yet.
    ///
    /// # Errors
    /// [`BodyError::NoMemory`] if the part for unknown senders, or all memory, is used up.
    pub(crate) fn grow_unknown(&mut self, more: usize) -> Result<(), BodyError> {
        let inner = Arc::clone(&self.memory.0);
        if !take(&inner.used_by_unknown, more, inner.limit / UNKNOWN_PART) {
            inner.refusals.fetch_add(1, Ordering::Relaxed);
            return Err(BodyError::NoMemory);
        }
        self.unknown_bytes += more;
        self.grow(more)
    }

    /// Counts what was read so far as read from a known sender.
    pub(crate) fn becomes_known(&mut self) {
        let unknown = std::mem::take(&mut self.unknown_bytes);
        self.memory
            .0
            .used_by_unknown
            .fetch_sub(unknown, Ordering::Relaxed);
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.becomes_known();
        self.memory.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Adds `more` to `used` unless the sum would be above `limit`.
fn take(used: &AtomicUsize, more: usize, limit: usize) -> bool {
    let sum = |used: usize| used.checked_add(more).filter(|sum| *sum <= limit);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_refused_when_it_is_used_up_and_returned_with_the_share() {
        let memory = BodyMemory::new(100);
        let mut first = memory.share();
        first.grow(60).unwrap();
        let mut second = memory.share();
        assert!(matches!(second.grow(41), Err(BodyError::NoMemory)));
        second.grow(40).unwrap();
        assert_eq!((memory.used(), memory.refusals()), (100, 1));
        drop(first);
        second.grow(60).unwrap();
        drop(second);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn unknown_senders_share_a_quarter_until_they_are_known() {
        let memory = BodyMemory::new(100);
        let (mut first, mut second) = (memory.share(), memory.share());
        first.grow_unknown(25).unwrap();
        assert!(second.grow_unknown(1).is_err());
        second.grow(1).unwrap();
        first.becomes_known();
        second.grow_unknown(25).unwrap();
        drop((first, second));
        assert_eq!(memory.used(), 0);
        memory.share().grow_unknown(25).unwrap();
    }
}

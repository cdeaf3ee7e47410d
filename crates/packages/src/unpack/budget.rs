//! What unpacking has cost so far, and the end of it when that is too much.

use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::error::{PackageError, bytes};

use super::limits::{UnpackLimits, Unpacked};

/// The limits of one archive, and what is left of them.
pub(super) struct Budget {
    pub(super) limits: UnpackLimits,
    /// The size of the archive.
    compressed: u64,
    expanded: Cell<u64>,
    entries: Cell<u64>,
    began: Instant,
    stop: Arc<AtomicBool>,
    failure: RefCell<Option<PackageError>>,
}

impl Budget {
    pub(super) fn new(limits: UnpackLimits, compressed: u64, stop: Arc<AtomicBool>) -> Self {
        Self {
            limits,
            compressed,
            expanded: Cell::new(0),
            entries: Cell::new(0),
            began: Instant::now(),
            stop,
            failure: RefCell::new(None),
        }
    }

    /// Counts an entry, or a directory that one implies.
    pub(super) fn entry(&self) -> Result<(), PackageError> {
        self.alive()?;
        let count = self.entries.get() + 1;
        self.entries.set(count);
        self.check_entries(count)
    }

    /// Refuses an archive that says it has this many entries.
    pub(super) fn check_entries(&self, count: u64) -> Result<(), PackageError> {
        match count > self.limits.entries {
            true => Err(PackageError::RefusedArchive(format!(
                "has more than {} entries",
                self.limits.entries
            ))),
            false => Ok(()),
        }
    }

    /// Counts bytes that came out of the archive.
    fn expand(&self, count: u64) -> Result<(), PackageError> {
        self.alive()?;
        let expanded = self.expanded.get().saturating_add(count);
        self.expanded.set(expanded);
        self.check_expanded(expanded)
    }

    /// Refuses an archive of which this much comes, or would come, out.
    pub(super) fn check_expanded(&self, expanded: u64) -> Result<(), PackageError> {
        if expanded > self.limits.expanded {
            return Err(PackageError::RefusedArchive(format!(
                "expands to more than {}",
                bytes(self.limits.expanded)
            )));
        }
        let most = self.compressed.saturating_mul(self.limits.ratio);
        if expanded > self.limits.ratio_from && expanded > most {
            return Err(PackageError::RefusedArchive(format!(
                "expands to more than {} times its size",
                self.limits.ratio
            )));
        }
        Ok(())
    }

    /// Whether there is time left, and somebody who waits.
    pub(super) fn alive(&self) -> Result<(), PackageError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::Interrupted).into());
        }
        match self.began.elapsed() >= self.limits.time {
            true => Err(PackageError::TimedOut {
                what: "unpacking",
                seconds: self.limits.time.as_secs(),
            }),
            false => Ok(()),
        }
    }

    /// The limit that a reader met.
    pub(super) fn failure(&self) -> Option<PackageError> {
        self.failure.borrow_mut().take()
    }

    pub(super) fn spent(&self) -> Unpacked {
        Unpacked {
            entries: self.entries.get(),
            expanded: self.expanded.get(),
        }
    }
}

/// Counts what is read of `inner`.
pub(super) struct Metered<'a, R> {
    pub(super) inner: R,
    pub(super) budget: &'a Budget,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.budget.expand(count as u64).map_err(|error| {
            *self.budget.failure.borrow_mut() = Some(error);
            // Not "interrupted", which readers take for a reason to try again.
            io::Error::other("a limit was met")
        })?;
        Ok(count)
    }
}

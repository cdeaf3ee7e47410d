//! Tracks what unpacking has used of its limits, and fails when a limit is reached.

use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::error::{PackageError, bytes};

use super::limits::{UnpackLimits, Unpacked};

/// The limits for one archive and what has been used.
pub(super) struct Budget {
    pub(super) limits: UnpackLimits,
    /// The size of the archive, in bytes.
    compressed: u64,
    expanded: Cell<u64>,
    entries: Cell<u64>,
    started: Instant,
    stop: Arc<AtomicBool>,
    /// The error of a limit that a reader reached, which decoders do not pass on unchanged.
    failure: RefCell<Option<PackageError>>,
}

impl Budget {
    pub(super) fn new(limits: UnpackLimits, compressed: u64, stop: Arc<AtomicBool>) -> Self {
        Self {
            limits,
            compressed,
            expanded: Cell::new(0),
            entries: Cell::new(0),
            started: Instant::now(),
            stop,
            failure: RefCell::new(None),
        }
    }

    /// Counts an entry, or a directory that is implied by one.
    pub(super) fn entry(&self) -> Result<(), PackageError> {
        self.check_time()?;
        let count = self.entries.get() + 1;
        self.entries.set(count);
        self.check_entries(count)
    }

    /// Checks the number of entries, also as declared by the archive.
    pub(super) fn check_entries(&self, count: u64) -> Result<(), PackageError> {
        if count > self.limits.entries {
            return Err(PackageError::RefusedArchive(format!(
                "has more than {} entries",
                self.limits.entries
            )));
        }
        Ok(())
    }

    /// Counts bytes that were unpacked.
    fn expand(&self, count: u64) -> Result<(), PackageError> {
        self.check_time()?;
        let expanded = self.expanded.get().saturating_add(count);
        self.expanded.set(expanded);
        self.check_expanded(expanded)
    }

    /// Checks the size of the contents, also as declared by the archive.
    pub(super) fn check_expanded(&self, expanded: u64) -> Result<(), PackageError> {
        if expanded > self.limits.expanded {
            return Err(PackageError::RefusedArchive(format!(
                "expands to more than {}",
                bytes(self.limits.expanded)
            )));
        }
        // A small archive that expands a lot is a decompression bomb, even below the absolute limit.
        let by_ratio = self.compressed.saturating_mul(self.limits.ratio);
        if expanded > self.limits.ratio_from && expanded > by_ratio {
            return Err(PackageError::RefusedArchive(format!(
                "expands to more than {} times its size",
                self.limits.ratio
            )));
        }
        Ok(())
    }

    /// Fails if the time is up or the work was stopped.
    pub(super) fn check_time(&self) -> Result<(), PackageError> {
        // Reported as an I/O error, because nobody reads it: the future was dropped.
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::Interrupted).into());
        }
        if self.started.elapsed() >= self.limits.time {
            return Err(PackageError::TimedOut {
                what: "unpacking",
                seconds: self.limits.time.as_secs(),
            });
        }
        Ok(())
    }

    /// Takes the error of a limit that a reader reached.
    pub(super) fn failure(&self) -> Option<PackageError> {
        self.failure.borrow_mut().take()
    }

    pub(super) fn usage(&self) -> Unpacked {
        Unpacked {
            entries: self.entries.get(),
            expanded: self.expanded.get(),
        }
    }
}

/// A reader that counts the bytes read from `inner`.
pub(super) struct Metered<'a, R> {
    pub(super) inner: R,
    pub(super) budget: &'a Budget,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.budget.expand(count as u64).map_err(|error| {
            *self.budget.failure.borrow_mut() = Some(error);
            // Not `Interrupted`, after which readers would retry.
            io::Error::other("a limit was reached")
        })?;
        Ok(count)
    }
}

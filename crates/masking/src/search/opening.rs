//! The first bytes of a secret that is written with escapes.

use crate::search::index::Index;
use crate::search::readings::{Reading, Readings, is_escape};
use crate::search::stream::View;

/// How many bytes tell where a secret may start.
pub(crate) const NEAR: usize = 3;

/// The bytes around an escape, in one way to read it.
pub(crate) struct Start {
    bytes: [u8; 8],
    count: usize,
}

impl Start {
    /// Fewer than [`NEAR`] bytes `before` the escape, and those `after` it up to the next escape.
    #[inline]
    pub(crate) fn new(before: &[u8], reading: &Reading, after: &[u8]) -> Self {
        let after = after.iter().take(NEAR - 1);
        let after = after.take_while(|byte| !is_escape(**byte));
        let mut start = Self {
            bytes: [0; 8],
            count: 0,
        };
        for byte in before.iter().chain(reading.bytes()).chain(after) {
            start.bytes[start.count] = *byte;
            start.count += 1;
        }
        start
    }

    /// The bytes from the one at `at` on.
    pub(crate) fn from(&self, at: usize) -> &[u8] {
        &self.bytes[at..self.count]
    }
}

/// The first bytes of a secret, in one way to read the output.
#[derive(Clone, Copy, Default)]
pub(crate) struct Opening {
    bytes: [u8; 4],
    count: usize,
    /// Quotes were changed since the last byte.
    is_after_quotes: bool,
}

impl Opening {
    /// Reads on at `at`, and adds the bytes of each way to read them to `windows`. Returns whether the
    /// output ends before that.
    pub(crate) fn read(
        self,
        index: &Index,
        view: &View<'_>,
        at: usize,
        windows: &mut Vec<u32>,
    ) -> bool {
        if self.count == self.bytes.len() {
            windows.push(u32::from_le_bytes(self.bytes));
            return false;
        }
        let text = &view.text[at..];
        let Some(first) = text.first() else {
            return !view.is_last;
        };
        let is_quote = matches!(first, b'\'' | b'"');
        if !is_escape(*first) || is_quote && !index.has_quoted {
            return self.then(index, view, at + 1, &[*first], windows);
        }
        let readings = Readings::of(text);
        if readings.is_open && !view.is_last {
            return true;
        }
        let mut is_open = false;
        for reading in readings.list() {
            is_open |= self.then(index, view, at + reading.length(), reading.bytes(), windows);
        }
        is_open
    }

    fn then(
        mut self,
        index: &Index,
        view: &View<'_>,
        at: usize,
        bytes: &[u8],
        windows: &mut Vec<u32>,
    ) -> bool {
        if bytes.is_empty() && (self.count == 0 || self.is_after_quotes) {
            return false;
        }
        self.is_after_quotes = bytes.is_empty();
        for byte in bytes {
            if let Some(free) = self.bytes.get_mut(self.count) {
                *free = *byte;
                self.count += 1;
            }
        }
        index.may_start_with(&self.bytes[..self.count]) && self.read(index, view, at, windows)
    }
}

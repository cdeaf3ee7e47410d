//! Random numbers that a seed determines, so that the faults of a run can be repeated.

use std::time::Duration;

/// A generator of pseudorandom numbers (`SplitMix64`).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The generator number `stream` of a seed. Those of different numbers are independent.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut mixed = Self(seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self(mixed.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is above 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % limit).unwrap_or_default()
    }

    /// Whether an event of this probability happens.
    pub(crate) fn percent(&mut self, probability: usize) -> bool {
        self.below(100) < probability
    }

    /// A time between `from` and `to`, in milliseconds.
    pub(crate) fn pause(&mut self, from: usize, to: usize) -> Duration {
        let milliseconds = from + self.below(to - from);
        Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
    }

    /// Lines of text with `length` bytes together, which no mask and no terminal changes.
    pub(crate) fn text(&mut self, length: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(length + 17);
        while text.len() < length {
            text.extend(format!("{:016x}\n", self.next()).bytes());
        }
        text.truncate(length);
        text
    }
}

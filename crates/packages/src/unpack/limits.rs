//! What unpacking an archive may cost, and what it cost.

use std::time::Duration;

/// What an archive may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnpackLimits {
    /// How large the archive may be, in bytes.
    pub compressed: u64,
    /// How much may come out of it, in bytes.
    pub expanded: u64,
    /// How many times larger than the archive that may be.
    pub ratio: u64,
    /// From how many bytes on the ratio counts: small files can be very regular.
    pub ratio_from: u64,
    /// How many entries it may have, with the directories that it implies.
    pub entries: u64,
    /// How many directories deep an entry may be.
    pub depth: usize,
    /// How long an entry's whole name, or what a link points to, may be, in bytes.
    pub path: usize,
    /// How long unpacking may take.
    pub time: Duration,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self {
            compressed: 1 << 30,
            expanded: 8 << 30,
            ratio: 200,
            ratio_from: 64 << 20,
            entries: 200_000,
            depth: 64,
            path: 1024,
            time: Duration::from_secs(600),
        }
    }
}

/// What came out of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// How many entries it had, with the directories that it implied.
    pub entries: u64,
    /// How much came out of it, in bytes.
    pub expanded: u64,
}

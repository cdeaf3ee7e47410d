//! The limits for unpacking an archive, and what was used of them.

use std::time::Duration;

/// The limits for unpacking an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnpackLimits {
    /// The maximum size of the archive, in bytes.
    pub compressed: u64,
    /// The maximum size of its contents, in bytes.
    pub expanded: u64,
    /// The maximum ratio of the size of the contents to the size of the archive.
    pub ratio: u64,
    /// The size of the contents, in bytes, from which `ratio` applies. Small harmless archives can have
    /// a high ratio.
    pub ratio_from: u64,
    /// The maximum number of entries, including implied directories.
    pub entries: u64,
    /// The maximum nesting depth of an entry.
    pub depth: usize,
    /// The maximum length of an entry's full name and of a link's target, in bytes.
    pub path: usize,
    /// The maximum time to unpack.
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

/// The limits for the files that one job passes to another. They are higher than for packages, because
/// most of these archives were made by the farm's own runners, which do not exceed them.
pub const RESTORE_LIMITS: UnpackLimits = UnpackLimits {
    compressed: u64::MAX,
    expanded: 16 << 30,
    // The output of a job may compress extremely well.
    ratio: u64::MAX,
    ratio_from: 0,
    entries: 500_000,
    depth: 256,
    path: 4096,
    time: Duration::from_secs(3600),
};

/// What was unpacked from an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The number of entries, including implied directories.
    pub entries: u64,
    /// The size of the contents, in bytes.
    pub expanded: u64,
}

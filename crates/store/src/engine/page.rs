//! Parts of lists. A page begins after the last id of the one before, at the same cost anywhere; a
//! slice is counted from the beginning, for clients that know nothing else.

/// Which part of a list is wanted. Lists run from the newest id to the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Only ids below this one; from the newest when absent.
    pub before: Option<i64>,
    /// At most so many rows.
    pub limit: i64,
}

impl Page {
    /// The bound to compare ids with.
    pub(crate) fn below(&self) -> i64 {
        self.before.unwrap_or(i64::MAX)
    }
}

/// Which part of a list is wanted, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// How many rows come before it.
    pub offset: i64,
    /// At most so many rows.
    pub limit: i64,
}

//! Parts of lists. A [`Page`] continues after the last id of the previous page and costs the same
//! anywhere in the list. A [`Slice`] is counted from the beginning, for APIs that offer nothing
//! else.

/// A part of a list that runs from the newest id to the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Only ids below this one; absent for the first page.
    pub before: Option<i64>,
    pub limit: i64,
}

impl Page {
    /// The bound to compare ids with.
    pub(crate) fn below(&self) -> i64 {
        self.before.unwrap_or(i64::MAX)
    }
}

/// A part of a list by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// How many rows to skip.
    pub offset: i64,
    pub limit: i64,
}

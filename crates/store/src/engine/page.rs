//! Parts of lists. A [`Page`] continues after the last id of the previous page and costs the same
//! anywhere in the list. A [`Slice`] is counted from the beginning, for APIs that offer nothing
//! else.

/// The most rows of any part of a list, whatever a caller asks for.
pub const MAX_ROWS: i64 = 1000;

/// The number of rows to read when a caller asks for `limit`. Every list that is read in parts uses it,
/// so that no API can ask for a list without an end.
pub(crate) fn rows(limit: i64) -> i64 {
    limit.clamp(0, MAX_ROWS)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_list_is_longer_than_the_maximum() {
        for (asked, read) in [
            (-1, 0),
            (0, 0),
            (7, 7),
            (1000, 1000),
            (1001, 1000),
            (i64::MAX, 1000),
        ] {
            assert_eq!(rows(asked), read, "{asked}");
        }
    }
}

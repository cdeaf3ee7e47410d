//! Parts of lists. A [`Page`] continues after the last id of the previous page and costs the same
//! anywhere in the list. A [`Slice`] has a position counted from the beginning, for APIs that offer nothing
//! else. No list is counted beyond a maximum, because counting reads an entry of an index for every row.

use crate::error::StoreError;

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

/// Which part of a list to read, by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// How many rows are before the part.
    pub offset: i64,
    /// The id of the last of those rows, if it is known. The part is then found at once; without it, the
    /// rows before the part are stepped over one by one.
    pub before: Option<i64>,
    pub limit: i64,
    /// The longest list that is counted.
    pub count_to: i64,
}

/// A part of a list, by its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<T> {
    pub rows: Vec<T>,
    /// Whether rows follow.
    pub has_more: bool,
    /// The length of the whole list; absent if it is longer than [`Slice::count_to`].
    pub total: Option<u64>,
}

impl Slice {
    /// The bound to compare ids with.
    pub(crate) fn below(&self) -> i64 {
        self.before.unwrap_or(i64::MAX)
    }

    /// How many rows to step over.
    pub(crate) fn skipped(&self) -> i64 {
        if self.before.is_some() {
            0
        } else {
            self.offset
        }
    }

    /// How many rows to read: one more than wanted, which shows whether rows follow.
    pub(crate) fn fetched(&self) -> i64 {
        rows(self.limit) + 1
    }

    /// Makes a part of the rows that were fetched. `count` counts the rows of the list up to a maximum.
    pub(crate) fn part<T>(
        &self,
        mut fetched: Vec<T>,
        count: impl FnOnce(i64) -> Result<i64, StoreError>,
    ) -> Result<Part<T>, StoreError> {
        let limit = usize::try_from(rows(self.limit)).unwrap_or_default();
        let has_more = fetched.len() > limit;
        fetched.truncate(limit);
        let read = i64::try_from(fetched.len()).unwrap_or(i64::MAX);
        let end = self.offset.saturating_add(read);
        // Most lists are short, and end with the rows that were read.
        let ends_here = !has_more && self.before.is_none() && (read > 0 || self.offset == 0);
        let total = if ends_here || (has_more && end >= self.count_to) {
            end.saturating_add(i64::from(has_more))
        } else {
            count(self.count_to.saturating_add(1))?
        };
        Ok(Part {
            rows: fetched,
            has_more,
            total: u64::try_from(total).ok().filter(|_| total <= self.count_to),
        })
    }
}

impl<T> Part<T> {
    /// The same part with other rows, which were made of its rows.
    #[must_use]
    pub fn with_rows<U>(&self, rows: Vec<U>) -> Part<U> {
        Part {
            rows,
            has_more: self.has_more,
            total: self.total,
        }
    }
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

    fn slice(offset: i64, before: Option<i64>) -> Slice {
        Slice {
            offset,
            before,
            limit: 2,
            count_to: 5,
        }
    }

    #[test]
    fn a_list_is_counted_only_if_its_length_is_not_known() {
        let uncounted = |_| Err(StoreError::Corrupt("counted"));
        for (slice, fetched, has_more, total) in [
            (slice(0, None), vec![9, 8], false, Some(2)),
            (slice(0, None), vec![], false, Some(0)),
            (slice(2, None), vec![7], false, Some(3)),
            (slice(4, None), vec![5, 4], false, None),
            (slice(4, Some(6)), vec![5, 4, 3], true, None),
        ] {
            let part = slice.part(fetched.clone(), uncounted).unwrap();
            assert_eq!(
                (part.has_more, part.total),
                (has_more, total),
                "{slice:?} {fetched:?}"
            );
            assert_eq!(part.rows, fetched[..fetched.len().min(2)]);
        }
    }

    #[test]
    fn a_count_stops_one_above_the_maximum() {
        for (slice, fetched) in [
            (slice(0, None), vec![9, 8, 7]),
            // Rows may have been added since the page before was read.
            (slice(2, Some(8)), vec![7]),
            // A page after the last one does not show where the list ends.
            (slice(50, None), vec![]),
        ] {
            for (length, total) in [(5, Some(5)), (6, None)] {
                let counted = |limit| {
                    assert_eq!(limit, 6);
                    Ok(length)
                };
                let part = slice.part(fetched.clone(), counted).unwrap();
                assert_eq!(part.total, total, "{slice:?}");
            }
        }
    }
}

//! Pages of lists: which is wanted, and what one is.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use slipway_farm::Page;
use utoipa::{IntoParams, ToSchema};

use crate::parsed::{parsed, parsed_if_any};

/// Which part of a list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// At most so many items, 1 to 100.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 100, default = 20)]
    #[serde(default, deserialize_with = "parsed")]
    limit: Limit,
    /// The `next` of the page before.
    #[param(value_type = Option<String>)]
    #[serde(default, deserialize_with = "parsed_if_any")]
    before: Option<Cursor>,
}

/// Where a page ended. What is in it is nobody's business but this module's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor(i64);

impl Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "c{:x}", self.0)
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        text.strip_prefix('c')
            .and_then(|hex| i64::from_str_radix(hex, 16).ok())
            .map(Cursor)
            .ok_or("`before` is not the `next` of another page")
    }
}

/// How many items a page has at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit(u8);

impl Default for Limit {
    fn default() -> Self {
        Self(20)
    }
}

impl FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text.parse() {
            Ok(limit @ 1..=100) => Ok(Limit(limit)),
            _ => Err("`limit` is a whole number from 1 to 100"),
        }
    }
}

impl PageQuery {
    /// The most items that the answer has.
    pub(crate) fn limit(&self) -> usize {
        usize::from(self.limit.0)
    }

    /// What to ask the farm for: one more than is answered, which tells whether there are more.
    pub(crate) fn page(&self) -> Page {
        Page {
            before: self.before.map(|cursor| cursor.0),
            limit: i64::from(self.limit.0) + 1,
        }
    }
}

/// A page of a list, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listing<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// What to send as `before` for the next page; null on the last one.
    pub(crate) next: Option<String>,
}

impl<T> Listing<T> {
    /// A list that has one page.
    pub(crate) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    /// Cuts `rows`, read with [`PageQuery::page`], to the page that was asked for.
    pub(crate) fn page<R>(
        mut rows: Vec<R>,
        query: &PageQuery,
        key: impl Fn(&R) -> i64,
        convert: impl FnMut(R) -> T,
    ) -> Self {
        let limit = query.limit();
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().map(|row| Cursor(key(row)).to_string());
        Self {
            items: rows.into_iter().map(convert).collect(),
            next: last.filter(|_| more),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_1_to_100_items() {
        assert_eq!("100".parse(), Ok(Limit(100)));
        for bad in ["0", "101", "-1", "", "x"] {
            assert!(bad.parse::<Limit>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cursor_reads_back_and_nothing_else_is_one() {
        assert_eq!(Cursor(255).to_string().parse(), Ok(Cursor(255)));
        for bad in ["", "255", "c", "cx"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}

//! Paging of lists.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use slipway_farm::Page;
use utoipa::{IntoParams, ToSchema};

use super::parse::{parse_optional, parse_text};
use super::schemas;

/// Selects a page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// The maximum number of items, 1 to 100.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 100, default = 20)]
    #[serde(default, deserialize_with = "parse_text")]
    limit: Limit,
    /// The `next` of the previous page. If absent, the first page is returned.
    #[param(value_type = Option<schemas::CursorText>)]
    #[serde(default, deserialize_with = "parse_optional")]
    before: Option<Cursor>,
}

/// The form of a cursor as an ECMA 262 regular expression.
pub(crate) const CURSOR_PATTERN: &str = "^c[0-9a-f]{1,15}$";
/// Enough for every id that a database counts up to.
const MAX_CURSOR_DIGITS: usize = 15;

/// The end of a page, as the next page is requested. Clients must not look into it.
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
        let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        text.strip_prefix('c')
            .filter(|hex| hex.len() <= MAX_CURSOR_DIGITS && hex.chars().all(is_digit))
            .and_then(|hex| i64::from_str_radix(hex, 16).ok())
            .map(Cursor)
            .ok_or("`before` must be the `next` of another page")
    }
}

/// The maximum number of items on a page.
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
            _ => Err("`limit` must be a whole number from 1 to 100"),
        }
    }
}

impl PageQuery {
    /// The maximum number of items in the response.
    pub(crate) fn limit(&self) -> usize {
        usize::from(self.limit.0)
    }

    /// The page to request from the farm. It has one more item than the response, which shows
    /// whether there are more.
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
    pub(crate) items: Vec<T>,
    /// The value to send as `before` for the next page, or null on the last page.
    pub(crate) next: Option<String>,
}

impl<T> Listing<T> {
    /// A list with a single page.
    pub(crate) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    /// Cuts `rows`, which were read with [`PageQuery::page`], to the requested page.
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
    fn a_limit_is_from_1_to_100() {
        assert_eq!("100".parse(), Ok(Limit(100)));
        for bad in ["0", "101", "-1", "", "x"] {
            assert!(bad.parse::<Limit>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_cursors_that_were_written_here_are_parsed() {
        assert_eq!(Cursor(255).to_string().parse(), Ok(Cursor(255)));
        for bad in [
            "",
            "255",
            "c",
            "cx",
            "cA",
            "c+1",
            "c-1",
            "c1000000000000000",
        ] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}

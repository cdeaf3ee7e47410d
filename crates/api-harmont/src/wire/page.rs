//! Pages of lists: a cursor leads on from the last thing that was seen, whatever was made meanwhile.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use slipway_http::Query;

/// The most that a page has.
const MAX: usize = 100;
/// What a page has unless somebody wants another size.
const USUAL: usize = 50;

/// Which page of a list is wanted. Whatever is asked for is a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    limit: usize,
    /// The id of the last thing of the page before.
    pub(crate) cursor: Option<i64>,
}

impl Wanted {
    /// Reads a query.
    pub(crate) fn of(query: &str) -> Self {
        let query = Query::parse(query);
        Self {
            limit: query.first("limit").map_or(USUAL, limit),
            cursor: query.first("cursor").and_then(read),
        }
    }

    /// How many things to fetch: one more than the page has, to know whether it is the last.
    pub(crate) fn fetched(&self) -> i64 {
        i64::try_from(self.limit + 1).unwrap_or(i64::MAX)
    }

    /// The page of what was fetched.
    pub(crate) fn page<T>(
        &self,
        mut fetched: Vec<T>,
        id: impl Fn(&T) -> i64,
        shown: impl Fn(T) -> Value,
    ) -> Value {
        let is_last = fetched.len() <= self.limit;
        fetched.truncate(self.limit);
        let next = fetched
            .last()
            .filter(|_| !is_last)
            .map(|last| written(id(last)));
        let data: Vec<Value> = fetched.into_iter().map(shown).collect();
        json!({"data": data, "next_cursor": next})
    }
}

/// The number that a limit begins with, within bounds.
fn limit(text: &str) -> usize {
    let (negative, digits) = match text.trim_start().strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.trim_start().trim_start_matches('+')),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit());
    let digits = &digits[..end.unwrap_or(digits.len())];
    match (digits.is_empty(), negative) {
        (true, _) => USUAL,
        (false, true) => 1,
        (false, false) => digits.parse().unwrap_or(MAX).clamp(1, MAX),
    }
}

fn written(id: i64) -> String {
    URL_SAFE_NO_PAD.encode(id.to_string())
}

fn read(cursor: &str) -> Option<i64> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    text.parse().ok().filter(|id| *id > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_limit_is_one() {
        let limit = |query: &str| Wanted::of(query).limit;
        for (query, expected) in [
            ("", 50),
            ("limit=", 50),
            ("limit=abc", 50),
            ("limit=0", 1),
            ("limit=-3", 1),
            ("limit=7x", 7),
            ("limit=1000", 100),
            ("limit=99999999999999999999", 100),
            ("limit=-99999999999999999999", 1),
        ] {
            assert_eq!(limit(query), expected, "{query}");
        }
    }

    #[test]
    fn a_cursor_that_is_none_is_the_beginning() {
        let cursor = |text: &str| Wanted::of(&format!("cursor={text}")).cursor;
        assert_eq!(cursor(&written(41)), Some(41));
        for bad in ["", "garbage", "MA", "LTE", "%FF", "eA"] {
            assert_eq!(cursor(bad), None, "{bad}");
        }
    }
}

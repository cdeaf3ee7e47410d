//! Pages of lists. A cursor names the last item of a page, so that items created meanwhile do not
//! shift the next one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use slipway_http::Query;

/// The maximum number of items on a page.
const MAX_LIMIT: usize = 100;
/// The number of items on a page without a valid `limit`.
const DEFAULT_LIMIT: usize = 50;

/// Which page of a list is wanted. Invalid parameters are not errors: they have defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageQuery {
    limit: usize,
    /// The id of the last item of the previous page.
    pub(crate) cursor: Option<i64>,
}

impl PageQuery {
    /// Reads a query string.
    pub(crate) fn parse(query: &str) -> Self {
        let query = Query::parse(query);
        Self {
            limit: query.first("limit").map_or(DEFAULT_LIMIT, limit),
            cursor: query.first("cursor").and_then(decode_cursor),
        }
    }

    /// How many items to fetch: one more than the page has, which shows whether it is the last.
    pub(crate) fn fetch_limit(&self) -> i64 {
        i64::try_from(self.limit + 1).unwrap_or(i64::MAX)
    }

    /// The page with the first of the fetched items.
    pub(crate) fn page<T>(
        &self,
        mut fetched: Vec<T>,
        id: impl Fn(&T) -> i64,
        to_json: impl Fn(T) -> Value,
    ) -> Value {
        let is_last = fetched.len() <= self.limit;
        fetched.truncate(self.limit);
        let next = fetched
            .last()
            .filter(|_| !is_last)
            .map(|last| encode_cursor(id(last)));
        let data: Vec<Value> = fetched.into_iter().map(to_json).collect();
        json!({"data": data, "next_cursor": next})
    }
}

/// The number at the start of a limit such as `7` or `7x`, clamped to 1 to 100, whatever its length.
fn limit(text: &str) -> usize {
    let (negative, digits) = match text.trim_start().strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.trim_start().trim_start_matches('+')),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit());
    let digits = &digits[..end.unwrap_or(digits.len())];
    // A number of any length is clamped: only text without digits has the default.
    if digits.is_empty() {
        DEFAULT_LIMIT
    } else if negative {
        1
    } else {
        digits.parse().unwrap_or(MAX_LIMIT).clamp(1, MAX_LIMIT)
    }
}

fn encode_cursor(id: i64) -> String {
    URL_SAFE_NO_PAD.encode(id.to_string())
}

fn decode_cursor(cursor: &str) -> Option<i64> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    // Any other cursor means the first page, never an error.
    text.parse().ok().filter(|id| *id > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_clamped_or_replaced_by_the_default() {
        let limit = |query: &str| PageQuery::parse(query).limit;
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
    fn an_invalid_cursor_means_the_first_page() {
        let cursor = |text: &str| PageQuery::parse(&format!("cursor={text}")).cursor;
        assert_eq!(cursor(&encode_cursor(41)), Some(41));
        for invalid in ["", "garbage", "MA", "LTE", "%FF", "eA"] {
            assert_eq!(cursor(invalid), None, "{invalid}");
        }
    }
}

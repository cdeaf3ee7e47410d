//! Query strings and form bodies: pairs of names and values.

use crate::body::BodyError;

/// The pairs of a query string or of an `application/x-www-form-urlencoded` body, decoded, in the
/// order in which they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

/// The most pairs in a query or a form. A pair takes many times as much memory as its text.
pub const MAX_PAIRS: usize = 5000;

impl Query {
    /// Reads `a=b&c=d`. Text in any other form has no pairs, and is not an error. Pairs after the first
    /// [`MAX_PAIRS`] are ignored.
    pub fn parse(text: &str) -> Self {
        Self(pairs(text.as_bytes()).take(MAX_PAIRS).collect())
    }

    /// [`Query::parse`] for a body.
    ///
    /// # Errors
    /// [`BodyError::TooManyValues`] if it has more than [`MAX_PAIRS`] pairs.
    pub fn parse_form(text: &[u8]) -> Result<Self, BodyError> {
        // One more than the limit, which shows that there are more.
        let read: Vec<_> = pairs(text).take(MAX_PAIRS + 1).collect();
        if read.len() > MAX_PAIRS {
            return Err(BodyError::TooManyValues { limit: MAX_PAIRS });
        }
        Ok(Self(read))
    }

    /// The first value of `name` in a form, without keeping the other pairs.
    pub fn first_in_form(text: &[u8], name: &str) -> Option<String> {
        pairs(text).find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The first value of `name`.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.pairs()
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The last value of `name`.
    pub fn last(&self, name: &str) -> Option<&str> {
        let mut backwards = self.0.iter().rev();
        let (_, value) = backwards.find(|(key, _)| key == name)?;
        Some(value)
    }

    /// All pairs.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Adds a pair at the end.
    pub fn push(&mut self, name: String, value: String) {
        self.0.push((name, value));
    }
}

fn pairs(text: &[u8]) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(text).into_owned()
}

impl Extend<(String, String)> for Query {
    fn extend<T: IntoIterator<Item = (String, String)>>(&mut self, pairs: T) {
        self.0.extend(pairs);
    }
}

impl IntoIterator for Query {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<(String, String)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_found_from_both_ends() {
        let query = Query::parse("a=1&b=x%2Fy+z&a=2&empty=");
        assert_eq!(query.first("a"), Some("1"));
        assert_eq!(query.last("a"), Some("2"));
        assert_eq!(query.first("b"), Some("x/y z"));
        assert_eq!(query.first("empty"), Some(""));
        assert_eq!(query.last("c"), None);
        assert_eq!(query.pairs().count(), 4);
    }

    #[test]
    fn an_empty_query_has_no_pairs() {
        assert_eq!(Query::parse(""), Query::default());
    }

    #[test]
    fn a_form_has_a_limited_number_of_pairs() {
        let form = |pairs: usize| "a&".repeat(pairs).into_bytes();
        assert!(Query::parse_form(&form(MAX_PAIRS)).is_ok());
        let refused = Query::parse_form(&form(MAX_PAIRS + 1));
        assert!(matches!(refused, Err(BodyError::TooManyValues { .. })));
        let query = Query::parse(&"a&".repeat(MAX_PAIRS + 1));
        assert_eq!(query.pairs().count(), MAX_PAIRS);
        let last = format!("{}payload=x", "a&".repeat(MAX_PAIRS));
        let found = Query::first_in_form(last.as_bytes(), "payload");
        assert_eq!(found.as_deref(), Some("x"));
    }
}

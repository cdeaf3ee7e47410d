//! Query strings and form bodies: pairs of names and values.

/// The pairs of a query string or of an `application/x-www-form-urlencoded` body, decoded, in the
/// order in which they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=b&c=d`. Text in any other form has no pairs, and is not an error.
    pub fn parse(text: &str) -> Self {
        Self::parse_bytes(text.as_bytes())
    }

    /// [`Query::parse`] for a body.
    pub fn parse_bytes(text: &[u8]) -> Self {
        Self(serde_urlencoded::from_bytes(text).unwrap_or_default())
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
}

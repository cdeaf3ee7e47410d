//! What of a request identifies its sender, before anybody has checked it.

use std::hash::{Hash, Hasher};

use actix_web::dev::RequestHead;
use actix_web::http::header::{AUTHORIZATION, HeaderName};

use crate::query::Query;

/// The headers with tokens, in all APIs.
const HEADERS: [HeaderName; 5] = [
    AUTHORIZATION,
    HeaderName::from_static("private-token"),
    HeaderName::from_static("job-token"),
    HeaderName::from_static("build-token"),
    HeaderName::from_static("runner-token"),
];
/// The query parameters with tokens, in all APIs.
const PARAMETERS: [&str; 4] = ["private_token", "access_token", "token", "signature"];

/// The credentials of a request outside of its body, which can be compared and hashed. They are
/// compared as they were sent: two spellings of a token count as two.
pub(crate) struct Credentials<'a> {
    head: &'a RequestHead,
    query: Vec<String>,
}

impl<'a> Credentials<'a> {
    /// The credentials of a request, if it has any.
    pub(crate) fn of(head: &'a RequestHead) -> Option<Self> {
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let query: Vec<String> = PARAMETERS
            .iter()
            .filter_map(|name| query.last(name).map(str::to_owned))
            .collect();
        let has_header = HEADERS.iter().any(|name| head.headers().contains_key(name));
        (has_header || !query.is_empty()).then_some(Self { head, query })
    }
}

impl Hash for Credentials<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for name in &HEADERS {
            let value = self.head.headers().get(name);
            value.map(|value| value.as_bytes()).hash(state);
        }
        self.query.hash(state);
    }
}

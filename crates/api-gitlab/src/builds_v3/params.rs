//! Parameters of the consumer API v3: query, form and JSON, merged into one set.

use std::collections::BTreeMap;

use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_TYPE;
use serde_json::Value;
use slipway_http::{Body, Query};

use super::error::V3Error;

/// The longest name of a parameter, in bytes. The names of the members of an object repeat the name of
/// the object, so long ones could fill the memory.
const MAX_NAME_BYTES: usize = 1024;

/// The parameters of a request, as pairs in the notation of a query: `scope[0]` for an item of a
/// list, `variables[K]` for a member of an object. A name may occur more than once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Query);

impl Params {
    /// The parameters in the query.
    pub(crate) fn of_query(request: &HttpRequest) -> Self {
        Self(Query::parse(request.query_string()))
    }

    /// The parameters in the query and the body.
    ///
    /// # Errors
    /// `BadRequest` if the body is neither a JSON object or null, nor UTF-8 text, or has too many
    /// parameters.
    pub(crate) async fn read(request: &HttpRequest, mut body: Body) -> Result<Self, V3Error> {
        // The query is read first: the last value of a name counts, so the body takes precedence.
        let mut params = Self::of_query(request);
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(params);
        }
        let content_type = request.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
        if content_type.starts_with("application/json") {
            match body.json().await? {
                Ok(Value::Object(members)) => {
                    for (name, value) in members {
                        params.add_json(name, value)?;
                    }
                }
                // Some clients encode "no parameters" like this.
                Ok(Value::Null) => {}
                _ => return Err(V3Error::bad_request("the body is not a JSON object")),
            }
        } else {
            // Clients send forms without a content type, too.
            std::str::from_utf8(&body)
                .map_err(|_| V3Error::bad_request("the form is not UTF-8"))?;
            params.0.extend(Query::parse_form(&body)?);
        }
        Ok(params)
    }

    fn add_json(&mut self, name: String, value: Value) -> Result<(), V3Error> {
        if name.len() > MAX_NAME_BYTES {
            let why = format!("the name of a parameter has more than {MAX_NAME_BYTES} bytes");
            return Err(V3Error::bad_request(why));
        }
        match value {
            Value::Null => self.0.push(name, String::new()),
            Value::String(text) => self.0.push(name, text),
            Value::Bool(_) | Value::Number(_) => self.0.push(name, value.to_string()),
            Value::Array(items) => {
                for item in items {
                    self.add_json(format!("{name}[]"), item)?;
                }
            }
            Value::Object(members) => {
                for (key, value) in members {
                    self.add_json(format!("{name}[{key}]"), value)?;
                }
            }
        }
        Ok(())
    }

    /// The last value of `name`.
    pub(crate) fn last(&self, name: &str) -> Option<&str> {
        self.0.last(name)
    }

    /// The last value of `name` that is not empty.
    pub(crate) fn non_empty(&self, name: &str) -> Option<&str> {
        self.last(name).filter(|value| !value.is_empty())
    }

    /// The last value of `name`, which must not be empty.
    ///
    /// # Errors
    /// `NAME is missing`.
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, V3Error> {
        self.non_empty(name).ok_or(V3Error::Missing(name))
    }

    /// A boolean parameter, in every notation that GitLab accepts.
    ///
    /// # Errors
    /// `NAME is invalid`.
    pub(crate) fn boolean(&self, name: &'static str) -> Result<Option<bool>, V3Error> {
        match self.non_empty(name) {
            None => Ok(None),
            Some("true" | "1" | "t" | "on" | "True") => Ok(Some(true)),
            Some("false" | "0" | "f" | "off" | "False") => Ok(Some(false)),
            Some(_) => Err(V3Error::BadParameter(name)),
        }
    }

    /// A parameter that is parsed from text, such as a number.
    ///
    /// # Errors
    /// `NAME is invalid`.
    pub(crate) fn parsed<T: std::str::FromStr>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, V3Error> {
        self.non_empty(name)
            .map(|text| text.parse().map_err(|_| V3Error::BadParameter(name)))
            .transpose()
    }

    /// All values of a list, in any notation: `name=a`, `name[]=a`, `name[0]=a`.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        let is_member = |key: &str| match key.strip_prefix(name) {
            Some("") => true,
            Some(index) => index
                .strip_prefix('[')
                .and_then(|index| index.strip_suffix(']'))
                .is_some_and(|index| index.bytes().all(|b| b.is_ascii_digit())),
            None => false,
        };
        let members = self.0.pairs().filter(|(key, _)| is_member(key));
        members.map(|(_, value)| value).collect()
    }

    /// The members of an object: `name[key]=value`.
    pub(crate) fn members(&self, name: &str) -> BTreeMap<&str, &str> {
        let pairs = self.0.pairs().filter_map(|(key, value)| {
            let key = key.strip_prefix(name)?.strip_prefix('[')?;
            Some((key.strip_suffix(']')?, value))
        });
        pairs.collect()
    }

    /// All pairs, in the order in which they were sent.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.pairs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Params {
        Params(Query::parse(text))
    }

    #[test]
    fn last_value_is_used_and_lists_are_read_in_every_notation() {
        let params = query("per_page=20&per_page=2&scope%5B0%5D=a&scope[]=b&scope=c&scopes=x");
        assert_eq!(params.parsed("per_page").unwrap(), Some(2));
        assert_eq!(params.list("scope"), ["a", "b", "c"]);
    }

    #[test]
    fn json_members_become_pairs() {
        let mut params = Params::default();
        let body = serde_json::json!({"scope": ["a", "b"], "variables": {"K": "v"}, "locked": true, "n": 3});
        let Value::Object(members) = body else {
            unreachable!()
        };
        for (name, value) in members {
            params.add_json(name, value).unwrap();
        }
        assert_eq!(params.list("scope"), ["a", "b"]);
        assert_eq!(params.members("variables"), BTreeMap::from([("K", "v")]));
        assert_eq!(params.boolean("locked").unwrap(), Some(true));
        assert_eq!(params.parsed("n").unwrap(), Some(3));
        assert!(params.boolean("n").is_err());
        assert!(params.required("ref").is_err());
    }

    #[test]
    fn long_names_are_refused() {
        let mut params = Params::default();
        let long = "x".repeat(MAX_NAME_BYTES);
        assert!(params.add_json(long.clone(), Value::Null).is_ok());
        let nested = serde_json::json!({ "a": [1] });
        assert!(params.add_json(long, nested).is_err());
    }
}

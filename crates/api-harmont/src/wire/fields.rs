//! Bodies: JSON objects, read after everything else was looked at.

use actix_web::{HttpRequest, web};
use serde_json::{Map, Value};
use slipway_http::{is_json, media_type, read_body};

use crate::problem::Problem;

/// The longest text of a field, in characters.
const MAX_TEXT: usize = 4096;

/// The members of a JSON object. What is not asked for is ignored.
pub(crate) struct Fields {
    values: Map<String, Value>,
    /// What a field that is not as it should be is called.
    invalid: fn(String) -> Problem,
}

impl Fields {
    /// Reads a body of at most `limit` bytes; none at all is as good as an empty object.
    ///
    /// # Errors
    /// When it is said to be something else than JSON, is too long or no JSON; `invalid` when it is
    /// no object.
    pub(crate) async fn read(
        request: &HttpRequest,
        payload: web::Payload,
        limit: usize,
        invalid: fn(String) -> Problem,
    ) -> Result<Self, Problem> {
        let bytes = read_body(payload, limit).await?;
        let no_fields = Self {
            values: Map::new(),
            invalid,
        };
        if bytes.is_empty() {
            return Ok(no_fields);
        }
        if media_type(request.headers()).is_some_and(|kind| !is_json(&kind)) {
            return Err(Problem::NotJson);
        }
        match serde_json::from_slice(&bytes).map_err(|_| Problem::InvalidJson)? {
            Value::Object(values) => Ok(Self { values, invalid }),
            _ => Err(no_fields.wrong("the body is not an object")),
        }
    }

    /// The problem of a field that is not as it should be.
    pub(crate) fn wrong(&self, why: impl Into<String>) -> Problem {
        (self.invalid)(why.into())
    }

    /// A value that is neither absent nor null.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// A text of any length; nothing when it is absent or null.
    pub(crate) fn long_text(&self, name: &str) -> Result<Option<&str>, Problem> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.contains('\0') => {
                Err(self.wrong(format!("{name} has a character that is zero")))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(format!("{name} is not a string"))),
        }
    }

    /// A text; nothing when it is absent or null.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        match self.long_text(name)? {
            Some(text) if text.chars().nth(MAX_TEXT).is_some() => {
                Err(self.wrong(format!("{name} has more than {MAX_TEXT} characters")))
            }
            text => Ok(text),
        }
    }

    /// A text that must be there, though it may be blank.
    pub(crate) fn needed(&self, name: &str) -> Result<&str, Problem> {
        let text = self.text(name)?;
        text.ok_or_else(|| self.wrong(format!("{name} is required")))
    }
}

/// A text that says something.
pub(crate) fn said(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.to_owned())
}

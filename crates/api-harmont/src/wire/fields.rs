//! JSON bodies. They are read last, after everything else in a request was checked.

use actix_web::HttpRequest;
use serde_json::{Map, Value};
use slipway_http::{Body, UNKNOWN_SENDER_BYTES, UnreadBody, is_json, media_type};

use crate::auth::{Call, PublicCall};
use crate::error::HarmontError;

/// The maximum length of a text, in characters.
const MAX_TEXT: usize = 4096;

/// The members of a JSON object. Unknown members are ignored.
pub(crate) struct Fields {
    values: Map<String, Value>,
    /// The error for an invalid field: each route has its own code.
    invalid: fn(String) -> HarmontError,
}

impl Fields {
    /// Reads the body of a known caller, of at most `limit` bytes. An empty body counts as an empty
    /// object.
    ///
    /// # Errors
    /// If the `Content-Type` is not JSON, or the body is too large or not JSON; `invalid` if it is
    /// not an object.
    pub(crate) async fn read(
        call: &Call,
        body: UnreadBody,
        limit: usize,
        invalid: fn(String) -> HarmontError,
    ) -> Result<Self, HarmontError> {
        Self::parse(&call.http, body.read(&call.actor, limit).await?, invalid).await
    }

    /// Reads the small body of a request without a token.
    ///
    /// # Errors
    /// As [`Fields::read`].
    pub(crate) async fn read_public(
        call: &PublicCall,
        body: UnreadBody,
        invalid: fn(String) -> HarmontError,
    ) -> Result<Self, HarmontError> {
        let body = body.read_unknown(UNKNOWN_SENDER_BYTES).await?;
        Self::parse(&call.http, body, invalid).await
    }

    async fn parse(
        request: &HttpRequest,
        mut body: Body,
        invalid: fn(String) -> HarmontError,
    ) -> Result<Self, HarmontError> {
        let mut fields = Self {
            values: Map::new(),
            invalid,
        };
        // Before the check of the type: clients send no `Content-Type` without a body.
        if body.is_empty() {
            return Ok(fields);
        }
        if media_type(request.headers()).is_some_and(|kind| !is_json(&kind)) {
            return Err(HarmontError::NotJson);
        }
        match body.json().await?.map_err(|_| HarmontError::InvalidJson)? {
            Value::Object(values) => {
                fields.values = values;
                Ok(fields)
            }
            _ => Err(fields.error("the body is not an object")),
        }
    }

    /// The error for an invalid field.
    pub(crate) fn error(&self, why: impl Into<String>) -> HarmontError {
        (self.invalid)(why.into())
    }

    /// A value that is neither missing nor null.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// A text of any length; `None` if it is missing or null.
    pub(crate) fn long_text(&self, name: &str) -> Result<Option<&str>, HarmontError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.contains('\0') => {
                Err(self.error(format!("{name} contains a NUL character")))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.error(format!("{name} is not a string"))),
        }
    }

    /// A text of limited length; `None` if it is missing or null.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, HarmontError> {
        match self.long_text(name)? {
            Some(text) if text.chars().nth(MAX_TEXT).is_some() => {
                Err(self.error(format!("{name} has more than {MAX_TEXT} characters")))
            }
            text => Ok(text),
        }
    }

    /// A required text, which may be blank.
    pub(crate) fn required(&self, name: &str) -> Result<&str, HarmontError> {
        let text = self.text(name)?;
        text.ok_or_else(|| self.error(format!("{name} is required")))
    }
}

/// A text, or `None` if it is blank: the API stores blank texts as null.
pub(crate) fn not_blank(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.to_owned())
}

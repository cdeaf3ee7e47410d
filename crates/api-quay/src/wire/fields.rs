//! JSON bodies, checked field by field in the order that clients rely on.

use std::collections::HashSet;

use serde_json::{Map, Value};
use slipway_http::{UnreadBody, is_json, media_type};

use crate::auth::Call;
use crate::error::QuayError;

/// The largest JSON body, in bytes.
const MAX_JSON: usize = 1 << 20;

/// The members of a JSON object. Unknown members are ignored.
pub(crate) struct Fields(pub(super) Map<String, Value>);

impl Fields {
    /// Reads the body of an authenticated caller.
    ///
    /// # Errors
    /// 401 without a valid token; if the `Content-Type` is not JSON, or the body is not JSON, not an object, or too large.
    pub(crate) async fn read(call: &Call, body: UnreadBody) -> Result<Self, QuayError> {
        let actor = call.actor()?;
        if !media_type(call.http.headers()).is_some_and(|kind| is_json(&kind)) {
            return Err(QuayError::NotJson);
        }
        let mut body = body.read(actor, MAX_JSON).await?;
        match body.json().await?.map_err(|_| QuayError::Malformed)? {
            Value::Object(fields) => Ok(Self(fields)),
            // A *problem*, while a body that is not JSON at all is a *message*.
            Value::Null => Err(QuayError::invalid("Missing JSON body")),
            _ => Err(QuayError::invalid("the body is not an object")),
        }
    }

    /// A string. For Quay's schemas, `null` is an error and not a missing value.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, QuayError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(QuayError::invalid(format!("{name} is not a string"))),
        }
    }

    /// A list of at least one string, without duplicates.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<&str>>, QuayError> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let items = value.as_array().filter(|items| !items.is_empty());
        let texts = items.and_then(|items| items.iter().map(Value::as_str).collect());
        let texts: Vec<&str> = texts.ok_or_else(|| {
            QuayError::invalid(format!("{name} is not a list of at least one string"))
        })?;
        let distinct: HashSet<&str> = texts.iter().copied().collect();
        if distinct.len() < texts.len() {
            return Err(QuayError::invalid(format!("{name} has duplicate items")));
        }
        Ok(Some(texts))
    }

    /// The media type of a file that will be uploaded.
    ///
    /// # Errors
    /// If it is missing.
    pub(crate) fn mime_type(&self) -> Result<&str, QuayError> {
        let kind = self.text("mimeType")?;
        kind.ok_or_else(|| QuayError::invalid("mimeType is required"))
    }
}

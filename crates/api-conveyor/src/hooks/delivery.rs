//! A delivery as it was received: headers, body, and the JSON in the body.

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use slipway_http::{Body, Query, UnreadBody, check_json_values};

use crate::error::ConveyorError;

/// The largest delivery that is read, in bytes. GitHub sends no larger ones. All of it is signed, so all
/// of it is read before its sender is known.
const MAX_DELIVERY: usize = 25 << 20;

/// A received delivery.
pub(super) struct Delivery {
    headers: HeaderMap,
    body: Body,
    json: Bytes,
}

impl Delivery {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// 413 if the body is larger than 25 MiB; 400 if it cannot be read.
    pub(super) async fn read(http: &HttpRequest, body: UnreadBody) -> Result<Self, ConveyorError> {
        let body = body.read_unknown(MAX_DELIVERY).await?;
        let headers = http.headers().clone();
        let is_form = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        // GitHub and Gitea can be configured to send the same JSON as the form field `payload`.
        let form = is_form.then(|| Query::first_in_form(&body, "payload"));
        Ok(Self {
            json: form.flatten().map_or_else(|| body.bytes(), Bytes::from),
            headers,
            body,
        })
    }

    /// The whole body, which is what forges sign, also when the JSON is inside a form.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The first of several headers that is present.
    pub(super) fn any_header(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.header(name))
    }

    /// Parses the JSON of a verified delivery, or the part of it that `T` has.
    ///
    /// # Errors
    /// 400 if the JSON does not fit, or has too many values.
    pub(super) fn parse_verified<T: DeserializeOwned>(&self) -> Result<T, ConveyorError> {
        check_json_values(&self.json)?;
        self.parse()
    }

    /// Parses the part of the JSON that `T` has. For a delivery that is not verified, a `T` without
    /// lists, so that it takes no memory.
    ///
    /// # Errors
    /// 400 if the JSON does not fit.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, ConveyorError> {
        let parsed = serde_json::from_slice(&self.json);
        parsed.map_err(|error| {
            ConveyorError::BadRequest(format!("the delivery is not a valid event: {error}"))
        })
    }
}

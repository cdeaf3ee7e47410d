//! A delivery as it was received: headers, body, and the JSON in the body.

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use actix_web::web::Payload;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use slipway_http::{Query, check_declared_length, read_body};

use crate::error::ConveyorError;

/// The largest delivery that is read, in bytes. GitHub sends no larger ones.
const MAX_DELIVERY: usize = 25 << 20;

/// A received delivery.
pub(super) struct Delivery {
    headers: HeaderMap,
    body: Bytes,
    json: Bytes,
}

impl Delivery {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// 413 if the body is larger than 25 MiB; 400 if it cannot be read.
    pub(super) async fn read(http: &HttpRequest, payload: Payload) -> Result<Self, ConveyorError> {
        check_declared_length(http.headers(), MAX_DELIVERY)?;
        let body = read_body(payload, MAX_DELIVERY).await?;
        let headers = http.headers().clone();
        let is_form = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        // GitHub and Gitea can be configured to send the same JSON as the form field `payload`.
        let form = is_form.then(|| Query::parse_bytes(&body));
        let payload = form.as_ref().and_then(|form| form.first("payload"));
        Ok(Self {
            json: payload.map_or_else(|| body.clone(), |json| Bytes::from(json.to_owned())),
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

    /// Parses the JSON, or the part of it that `T` has.
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

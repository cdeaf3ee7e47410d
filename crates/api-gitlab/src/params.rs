//! Parameters of the runner protocols, which may be in a JSON body, a form, a multipart form or the
//! query.

use actix_multipart::Multipart;
use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_TYPE;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use slipway_http::{BodyError, Query};

use crate::bad_input::BadInput;

/// The largest body that is read into memory. The final report of a v1 runner contains the whole
/// trace, which JSON escaping can make six times as large, and the runner repeats it forever if it
/// is refused.
const MAX_BODY_BYTES: usize = 64 << 20;

/// Reads the parameters of a request: those in the body, then those in the query that the body
/// lacks.
pub(crate) async fn read_params<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: Payload,
) -> Result<T, BadInput> {
    let mut params = body_params(request, payload).await?;
    // Runners 0.5 and 0.6 send some parameters in the query. The body takes precedence.
    for (key, value) in text_params(request.query_string()) {
        params.entry(key).or_insert(value);
    }
    serde_json::from_value(Value::Object(params))
        .map_err(|error| BadInput::Unreadable(error.to_string()))
}

async fn body_params(
    request: &HttpRequest,
    payload: Payload,
) -> Result<Map<String, Value>, BadInput> {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
    if content_type.starts_with("multipart/form-data") {
        return multipart_params(Multipart::new(request.headers(), payload)).await;
    }
    let body = read_body(payload).await?;
    // Those runners send an empty body without a content type.
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    if content_type.starts_with("application/x-www-form-urlencoded") {
        let text = std::str::from_utf8(&body)
            .map_err(|_| BadInput::Unreadable("the form is not UTF-8".to_owned()))?;
        return Ok(text_params(text).collect());
    }
    // Everything else is read as JSON, whatever its declared type is.
    match serde_json::from_slice(&body) {
        Ok(Value::Object(params)) => Ok(params),
        // Some clients encode "no parameters" like this.
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(BadInput::Unreadable("expected a JSON object".to_owned())),
        Err(error) => Err(BadInput::Unreadable(format!(
            "expected a JSON object: {error}"
        ))),
    }
}

fn text_params(text: &str) -> impl Iterator<Item = (String, Value)> {
    Query::parse(text)
        .into_iter()
        .map(|(key, value)| (key, Value::String(value)))
}

async fn multipart_params(mut form: Multipart) -> Result<Map<String, Value>, BadInput> {
    let bad = |error: actix_multipart::MultipartError| BadInput::Unreadable(error.to_string());
    let mut params = Map::new();
    while let Some(mut field) = form.try_next().await.map_err(bad)? {
        let Some(name) = field.name().map(str::to_owned) else {
            continue;
        };
        let mut text = BytesMut::new();
        while let Some(chunk) = field.try_next().await.map_err(bad)? {
            if text.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(BadInput::TooLarge);
            }
            text.extend_from_slice(&chunk);
        }
        params.insert(
            name,
            Value::String(String::from_utf8_lossy(&text).into_owned()),
        );
    }
    Ok(params)
}

/// Reads a whole body, up to [`MAX_BODY_BYTES`].
pub(crate) async fn read_body(payload: Payload) -> Result<Bytes, BadInput> {
    let body = slipway_http::read_body(payload, MAX_BODY_BYTES).await;
    body.map_err(|error| match error {
        BodyError::TooLarge { .. } => BadInput::TooLarge,
        BodyError::Unreadable(error) => BadInput::Unreadable(error.to_string()),
    })
}

/// A text that is not empty.
pub(crate) fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// The start of a `Content-Range`. The end must be a number, but its value is ignored: in some
/// clients it is inclusive, in others exclusive.
pub(crate) fn range_start(range: &str) -> Option<u64> {
    let range = range.trim().trim_start_matches("bytes").trim_start();
    let (start, end) = range.split_once('-')?;
    end.split('/').next()?.trim().parse::<u64>().ok()?;
    start.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_start_is_read_in_every_notation() {
        for range in ["5-11", "bytes 5-11", "bytes 5-11/20", " 5 - 11 ", "5-5"] {
            assert_eq!(range_start(range), Some(5), "{range}");
        }
        for bad in ["", "5", "-", "5-", "-5", "a-b", "5-x"] {
            assert_eq!(range_start(bad), None, "{bad}");
        }
    }
}

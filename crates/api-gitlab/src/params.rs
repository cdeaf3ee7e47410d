//! Parameters of the runner protocols, which may be in a JSON body, a form, a multipart form or the
//! query. The token may be among them, so a body is only read as far as its sender is known.

use std::ops::Range;

use actix_multipart::Multipart;
use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_TYPE;
use bytes::BytesMut;
use futures_util::{TryStreamExt, stream};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use slipway_http::{Body, KnownSender, Query, UNKNOWN_SENDER_BYTES, UnreadBody, find_json_text};

use crate::bad_input::BadInput;

/// The largest body that is read into memory. The final report of a v1 runner contains the whole
/// trace, which JSON escaping can make six times as large, and the runner repeats it forever if it
/// is refused.
const MAX_BODY_BYTES: usize = 64 << 20;
/// The most fields of a multipart form.
pub(crate) const MAX_FIELDS: usize = 64;

/// Reads the parameters of a request whose sender is not known yet: those in the body, then those in
/// the query that the body lacks.
pub(crate) async fn read_params<T: DeserializeOwned + Send + 'static>(
    request: &HttpRequest,
    body: UnreadBody,
) -> Result<T, BadInput> {
    let mut body = body.read_unknown(UNKNOWN_SENDER_BYTES).await?;
    parse_params(request, &mut body).await
}

/// [`read_params`] of a known sender.
pub(crate) async fn read_known_params<T: DeserializeOwned + Send + 'static>(
    request: &HttpRequest,
    body: UnreadBody,
    sender: &impl KnownSender,
) -> Result<T, BadInput> {
    let mut body = body.read(sender, UNKNOWN_SENDER_BYTES).await?;
    parse_params(request, &mut body).await
}

/// The parameters in a body and in the query.
pub(crate) async fn parse_params<T: DeserializeOwned>(
    request: &HttpRequest,
    body: &mut Body,
) -> Result<T, BadInput> {
    let mut params = body_params(request, body).await?;
    // Runners 0.5 and 0.6 send some parameters in the query. The body takes precedence.
    for (key, value) in text_params(Query::parse(request.query_string())) {
        params.entry(key).or_insert(value);
    }
    serde_json::from_value(Value::Object(params))
        .map_err(|error| BadInput::Unreadable(error.to_string()))
}

async fn body_params(
    request: &HttpRequest,
    body: &mut Body,
) -> Result<Map<String, Value>, BadInput> {
    let content_type = content_type(request);
    if content_type.starts_with(MULTIPART) {
        let bytes = stream::iter([Ok(body.bytes())]);
        return multipart_params(Multipart::new(request.headers(), bytes)).await;
    }
    // Those runners send an empty body without a content type.
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    if content_type.starts_with(FORM) {
        std::str::from_utf8(body)
            .map_err(|_| BadInput::Unreadable("the form is not UTF-8".to_owned()))?;
        return Ok(text_params(Query::parse_form(body)?).collect());
    }
    // Everything else is read as JSON, whatever its declared type is.
    match body.json().await? {
        Ok(Value::Object(params)) => Ok(params),
        // Some clients encode "no parameters" like this.
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(BadInput::Unreadable("expected a JSON object".to_owned())),
        Err(error) => Err(BadInput::Unreadable(format!(
            "expected a JSON object: {error}"
        ))),
    }
}

const MULTIPART: &str = "multipart/form-data";
const FORM: &str = "application/x-www-form-urlencoded";

/// The content type in lower case; empty if it is missing.
fn content_type(request: &HttpRequest) -> String {
    let value = request.headers().get(CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_ascii_lowercase()
}

/// The parameter `token` in the beginning of a body of JSON or of a form.
pub(crate) fn token_in_start(request: &HttpRequest, start: &[u8]) -> Option<String> {
    const TOKEN: &str = "token";
    // A character may be cut off at the end, but nothing else may be wrong: that is an error of the body.
    if std::str::from_utf8(start).is_err_and(|error| error.error_len().is_some()) {
        return None;
    }
    let token = if content_type(request).starts_with(FORM) {
        Query::first_in_form(start, TOKEN)
    } else {
        find_json_text(start, TOKEN)
    };
    non_empty(token)
}

/// The parameter `token` in the query.
pub(crate) fn token_in_query(request: &HttpRequest) -> Option<String> {
    let query = Query::parse(request.query_string());
    non_empty(query.last("token").map(str::to_owned))
}

fn text_params(query: Query) -> impl Iterator<Item = (String, Value)> {
    query
        .into_iter()
        .map(|(key, value)| (key, Value::String(value)))
}

/// The fields of a form that is in memory as a whole.
async fn multipart_params(mut form: Multipart) -> Result<Map<String, Value>, BadInput> {
    let bad = |error: actix_multipart::MultipartError| BadInput::Unreadable(error.to_string());
    let mut params = Map::new();
    let mut count = 0;
    while let Some(mut field) = form.try_next().await.map_err(bad)? {
        count += 1;
        if count > MAX_FIELDS {
            return Err(too_many_fields());
        }
        let Some(name) = field.name().map(str::to_owned) else {
            continue;
        };
        let mut text = BytesMut::new();
        while let Some(chunk) = field.try_next().await.map_err(bad)? {
            text.extend_from_slice(&chunk);
        }
        params.insert(
            name,
            Value::String(String::from_utf8_lossy(&text).into_owned()),
        );
    }
    Ok(params)
}

/// The error for a form with more than [`MAX_FIELDS`] fields.
pub(crate) fn too_many_fields() -> BadInput {
    BadInput::Unreadable(format!("a form may have at most {MAX_FIELDS} fields"))
}

/// Reads the whole body of a known sender, up to [`MAX_BODY_BYTES`].
pub(crate) async fn read_body(
    body: UnreadBody,
    sender: &impl KnownSender,
) -> Result<Body, BadInput> {
    Ok(body.read(sender, MAX_BODY_BYTES).await?)
}

/// A text that is not empty.
pub(crate) fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// The start of a `Content-Range`. The end must be a number, but its value is ignored: in some
/// clients it is inclusive, in others exclusive.
pub(crate) fn range_start(range: &str) -> Option<u64> {
    range_bounds(range).map(|range| range.start)
}

/// The two numbers of a `Content-Range`. In our own protocol the end is exclusive.
pub(crate) fn range_bounds(range: &str) -> Option<Range<u64>> {
    let range = range.trim().trim_start_matches("bytes").trim_start();
    let (start, end) = range.split_once('-')?;
    let end = end.split('/').next()?.trim().parse().ok()?;
    Some(start.trim().parse().ok()?..end)
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

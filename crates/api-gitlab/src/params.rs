//! Parameters, wherever a client put them: a JSON body, a form, a multipart form, the query.

use std::future::Future;
use std::pin::Pin;

use actix_multipart::Multipart;
use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest, HttpRequest};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::RunnerV1Error;

/// The longest body that is read into memory. The last report of a stock runner carries its whole
/// log, which escaping can blow up six-fold, and it is repeated for ever when it is refused.
pub(crate) const MAX_BODY: usize = 64 << 20;

/// Why a request could not be read. Each protocol says it in its own words.
#[derive(Debug)]
pub(crate) enum BadInput {
    /// It is not what was expected; the sentence says what that was.
    Unreadable(String),
    /// It is longer than is read.
    TooLarge,
    /// It is no form with a file.
    NoForm,
}

/// The parameters of a request: the body's first, and those of the query that it lacks.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for Params<T> {
    type Error = RunnerV1Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, RunnerV1Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move { Ok(Params(read_params(&request, payload).await?)) })
    }
}

/// Reads the parameters of a request.
pub(crate) async fn read_params<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: Payload,
) -> Result<T, BadInput> {
    let mut params = body_params(request, payload).await?;
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
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    if content_type.starts_with("application/x-www-form-urlencoded") {
        let text = std::str::from_utf8(&body)
            .map_err(|_| BadInput::Unreadable("the form is not UTF-8".to_owned()))?;
        return Ok(text_params(text).collect());
    }
    match serde_json::from_slice(&body) {
        Ok(Value::Object(params)) => Ok(params),
        Ok(_) => Err(BadInput::Unreadable("expected a JSON object".to_owned())),
        Err(error) => Err(BadInput::Unreadable(format!(
            "expected a JSON object: {error}"
        ))),
    }
}

fn text_params(text: &str) -> impl Iterator<Item = (String, Value)> {
    // What is not of the form `a=b&c=d` has no parameters; there is nothing else to say about it.
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(text).unwrap_or_default();
    pairs
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
            if text.len() + chunk.len() > MAX_BODY {
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

/// Reads a whole body, up to [`MAX_BODY`].
pub(crate) async fn read_body(mut payload: Payload) -> Result<Bytes, BadInput> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| BadInput::Unreadable(error.to_string()))?;
        if body.len() + chunk.len() > MAX_BODY {
            return Err(BadInput::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

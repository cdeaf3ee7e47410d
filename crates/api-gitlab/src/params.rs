//! Parameters, wherever a client put them: a JSON body, a form, a multipart form, the query; and what
//! of a job stands in paths and headers.

use std::future::Future;
use std::pin::Pin;

use actix_multipart::Multipart;
use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest, HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use slipway_domain::{JobId, JobToken};
use slipway_http::{BodyError, Query};
use slipway_protocol::{JOB_TOKEN_HEADER, TokenRequest};

use crate::bad_input::BadInput;
use crate::runner_v1::error::RunnerV1Error;

/// The longest body that is read into memory. The last report of a stock runner carries its whole
/// log, which escaping can blow up six-fold, and it is repeated for ever when it is refused.
pub(crate) const MAX_BODY: usize = 64 << 20;

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
pub(crate) async fn read_body(payload: Payload) -> Result<Bytes, BadInput> {
    let body = slipway_http::read_body(payload, MAX_BODY).await;
    body.map_err(|error| match error {
        BodyError::TooLarge { .. } => BadInput::TooLarge,
        BodyError::Unreadable(error) => BadInput::Unreadable(error.to_string()),
    })
}

/// A text that is not empty.
pub(crate) fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// The id in a path, with or without `.json`; `None` for what cannot be one, such as `-1`.
pub(crate) fn job_id(segment: &str) -> Option<JobId> {
    let id: JobId = segment
        .strip_suffix(".json")
        .unwrap_or(segment)
        .parse()
        .ok()?;
    (id.0 > 0).then_some(id)
}

/// The job's token: a parameter goes before the header.
pub(crate) fn job_token(http: &HttpRequest, field: Option<String>) -> JobToken {
    let query = web::Query::<TokenRequest>::from_query(http.query_string()).ok();
    let header = http
        .headers()
        .get(JOB_TOKEN_HEADER)
        .and_then(|value| value.to_str().ok());
    let text = given(query.and_then(|query| query.into_inner().token))
        .or_else(|| given(field))
        .or_else(|| header.map(str::to_owned));
    JobToken::presented(text.unwrap_or_default())
}

/// Where a range begins. What it says of its end is of no use: clients disagree on it.
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
    fn ranges_begin_where_they_say_in_every_spelling() {
        for range in ["5-11", "bytes 5-11", "bytes 5-11/20", " 5 - 11 ", "5-5"] {
            assert_eq!(range_start(range), Some(5), "{range}");
        }
        for bad in ["", "5", "-", "5-", "-5", "a-b", "5-x"] {
            assert_eq!(range_start(bad), None, "{bad}");
        }
    }

    #[test]
    fn ids_are_read_with_and_without_a_suffix() {
        assert_eq!(job_id("42.json"), Some(JobId(42)));
        assert_eq!(job_id("42"), Some(JobId(42)));
        for bad in ["-1", "0", "x", "", "4.2", "99999999999999999999"] {
            assert_eq!(job_id(bad), None, "{bad}");
        }
    }
}

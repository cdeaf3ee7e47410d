//! What every response of this API has: the request's id, for errors the body, and CORS headers for
//! the configured origins.

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use actix_web::middleware::Next;
use slipway_farm::Farm;
use slipway_http::{app_data, app_state};

use crate::Settings;
use crate::error::HarmontError;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The headers of a response to a CORS preflight request.
const PREFLIGHT: [(HeaderName, HeaderValue); 3] = [
    (
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE"),
    ),
    (
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("authorization, content-type"),
    ),
    (ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600")),
];

/// Completes the responses of the REST routes.
pub(crate) async fn finish(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let farm: Farm = app_state(request.request());
    let id = request_id(request.headers(), &farm);
    let allowed = &app_data::<Settings>(request.request()).browser_origins;
    let origin = allowed_origin(request.headers(), allowed).cloned();
    let response = if is_preflight(&request) {
        request.into_response(preflight())
    } else {
        next.call(request).await?.map_into_boxed_body()
    };
    let mut response = with_id(response, &id);
    let headers = response.headers_mut();
    // Also without an allowed origin: a cache must not give this response to another origin.
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let allowed = HeaderValue::from_static("true");
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
    }
    Ok(response)
}

/// Completes the responses of the log stream, which sets its own CORS headers.
pub(crate) async fn finish_stream(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let farm: Farm = app_state(request.request());
    let id = request_id(request.headers(), &farm);
    let response = next.call(request).await?.map_into_boxed_body();
    Ok(with_id(response, &id))
}

/// Adds the request's id to a response and, for an error, the body, which contains the id.
fn with_id(response: ServiceResponse, id: &str) -> ServiceResponse {
    let error = response.response().error();
    let error = error.and_then(|error| error.as_error::<HarmontError>());
    let settings: &Settings = app_data(response.request());
    let body = error.map(|error| error.response(id, &settings.errors_url));
    let mut response = match body {
        Some(body) => response.into_response(body),
        None => response,
    };
    let headers = response.headers_mut();
    // The hosted service always names the charset.
    if headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/json")
    {
        let kind = HeaderValue::from_static("application/json; charset=utf-8");
        headers.insert(CONTENT_TYPE, kind);
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

fn is_preflight(request: &ServiceRequest) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    for header in PREFLIGHT {
        response.insert_header(header);
    }
    response.finish()
}

/// The origin of the request, if it is one of those that the operator allows.
pub(crate) fn allowed_origin<'a>(
    headers: &'a HeaderMap,
    allowed: &[String],
) -> Option<&'a HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    let is_allowed = allowed.iter().any(|allowed| origin == allowed.as_str());
    is_allowed.then_some(origin)
}

/// The id that the caller sent, if its length is allowed, or else a new one.
fn request_id(headers: &HeaderMap, farm: &Farm) -> String {
    let sent = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    let sent = sent.filter(|id| (20..=200).contains(&id.len()));
    sent.map_or_else(|| farm.request_id(), str::to_owned)
}

/// Whether the `Accept` headers allow JSON. Without any, they do.
pub(crate) fn accepts_json(headers: &HeaderMap) -> bool {
    let mut ranges = headers
        .get_all(ACCEPT)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .peekable();
    // A header without any range counts as a missing header.
    ranges.peek().is_none() || ranges.any(includes_json)
}

fn includes_json(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q="));
    // A quality of 0 means "not acceptable".
    let is_excluded = quality.and_then(|q| q.parse::<f32>().ok()) == Some(0.0);
    !is_excluded && ["*/*", "application/*", "application/json"].contains(&kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_acceptable_unless_the_accept_header_excludes_it() {
        let accepts = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            accepts_json(&headers)
        };
        assert!(accepts_json(&HeaderMap::new()));
        for valid in [
            "",
            "*/*",
            "text/html, application/json;q=0.1",
            "application/*",
        ] {
            assert!(accepts(valid), "{valid}");
        }
        for invalid in ["text/html", "application/json;q=0", "image/*, text/*"] {
            assert!(!accepts(invalid), "{invalid}");
        }
    }
}

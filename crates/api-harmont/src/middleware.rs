//! What every answer of this API has: the request's id, the body of its error, and what lets the
//! pages of some origins read it.

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
use slipway_http::app_state;

use crate::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a page may do, if it may anything.
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

/// Finishes every answer.
pub(crate) async fn finished(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let farm: Farm = app_state(request.request());
    let id = request_id(request.headers(), &farm);
    let origin = allowed_origin(request.headers(), &farm);
    let answer = match is_preflight(&request) {
        true => request.into_response(preflight()),
        false => next.call(request).await?.map_into_boxed_body(),
    };
    let mut answer = with_id(answer, &id, &farm);
    let headers = answer.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let yes = HeaderValue::from_static("true");
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
    Ok(answer)
}

/// Finishes the answers of streams, which say themselves what pages may read them.
pub(crate) async fn named(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let farm: Farm = app_state(request.request());
    let id = request_id(request.headers(), &farm);
    let answer = next.call(request).await?.map_into_boxed_body();
    Ok(with_id(answer, &id, &farm))
}

/// Gives an answer the request's id, and the body of its error.
fn with_id(answer: ServiceResponse, id: &str, farm: &Farm) -> ServiceResponse {
    let error = answer.response().error();
    let problem = error.and_then(|error| error.as_error::<Problem>());
    let told = problem.map(|problem| problem.answer(id, &farm.settings().errors_url));
    let mut answer = match told {
        Some(told) => answer.into_response(told),
        None => answer,
    };
    let headers = answer.headers_mut();
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
    answer
}

fn is_preflight(request: &ServiceRequest) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> HttpResponse {
    let mut answer = HttpResponse::NoContent();
    for header in PREFLIGHT {
        answer.insert_header(header);
    }
    answer.finish()
}

/// The origin of the page that asks, if the operator lets its pages ask.
fn allowed_origin(headers: &HeaderMap, farm: &Farm) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    let listed = &farm.settings().browser_origins;
    listed
        .iter()
        .any(|own| origin == own.as_str())
        .then(|| origin.clone())
}

/// The id that the caller gave the request, if it is fit for one, else a fresh one.
fn request_id(headers: &HeaderMap, farm: &Farm) -> String {
    let given = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    let given = given.filter(|id| (20..=200).contains(&id.len()));
    given.map_or_else(|| farm.request_id(), str::to_owned)
}

/// Whether the caller takes JSON.
pub(crate) fn takes_json(headers: &HeaderMap) -> bool {
    let mut ranges = headers
        .get_all(ACCEPT)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .peekable();
    ranges.peek().is_none() || ranges.any(lets_json_in)
}

fn lets_json_in(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q="));
    let is_none = quality.and_then(|q| q.parse::<f32>().ok()) == Some(0.0);
    !is_none && ["*/*", "application/*", "application/json"].contains(&kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_takes_json_unless_it_says_what_it_takes_instead() {
        let takes = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            takes_json(&headers)
        };
        assert!(takes_json(&HeaderMap::new()));
        for good in [
            "",
            "*/*",
            "text/html, application/json;q=0.1",
            "application/*",
        ] {
            assert!(takes(good), "{good}");
        }
        for bad in ["text/html", "application/json;q=0", "image/*, text/*"] {
            assert!(!takes(bad), "{bad}");
        }
    }
}

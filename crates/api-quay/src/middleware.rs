//! What every response of this API has: CORS headers, and for errors the body.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, HeaderName, HeaderValue,
};
use actix_web::middleware::Next;
use slipway_http::app_data;

use crate::Settings;
use crate::base_url::farm_base_url;
use crate::error::QuayError;

const CORS_HEADERS: [(HeaderName, HeaderValue); 4] = [
    (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    (
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("DELETE, GET, HEAD, OPTIONS, POST, PUT"),
    ),
    (ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("21600")),
    (
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("AUTHORIZATION, CONTENT-TYPE, X-REQUESTED-WITH"),
    ),
];

/// Completes every response.
pub(crate) async fn finish(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    // In Quay, read-only mode comes before the check of roles, so it comes before the handler.
    let mut response = if is_refused(&request) {
        request.error_response(QuayError::AllReadOnly)
    } else {
        next.call(request).await?.map_into_boxed_body()
    };
    // An error cannot write its own body: the body names the farm's address as the caller sees it.
    let error = response.response().error();
    if let Some(error) = error.and_then(|error| error.as_error::<QuayError>()) {
        let body = error.response(&farm_base_url(response.request()));
        response = response.into_response(body);
    }
    for (name, value) in CORS_HEADERS {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// Whether a request would change something while the whole API is read-only.
fn is_refused(request: &ServiceRequest) -> bool {
    let only_reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    !only_reads && app_data::<Settings>(request.request()).read_only
}

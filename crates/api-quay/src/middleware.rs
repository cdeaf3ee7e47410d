//! What every answer of this API has: the headers that let pages of other origins read it, and the
//! body of its error.

use actix_web::HttpRequest;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, HeaderName, HeaderValue,
};
use actix_web::middleware::Next;
use slipway_farm::Farm;
use slipway_http::{app_state, base_url};

use crate::error::QuayError;

const HEADERS: [(HeaderName, HeaderValue); 4] = [
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

/// Finishes every answer.
pub(crate) async fn finished(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let mut answer = match is_refused(&request) {
        true => request.error_response(QuayError::AllReadOnly),
        false => next.call(request).await?.map_into_boxed_body(),
    };
    let error = answer.response().error();
    if let Some(error) = error.and_then(|error| error.as_error::<QuayError>()) {
        let told = error.answer(&base(answer.request()));
        answer = answer.into_response(told);
    }
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, value);
    }
    Ok(answer)
}

/// Whether the request is none for looking, where there is nothing else.
fn is_refused(request: &ServiceRequest) -> bool {
    let looks = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    !looks
        && app_state::<Farm>(request.request())
            .settings()
            .packages_read_only
}

/// The address of the farm, as the caller sees it.
pub(crate) fn base(request: &HttpRequest) -> String {
    let farm: Farm = app_state(request);
    base_url(request, farm.settings().public_url.as_deref())
}

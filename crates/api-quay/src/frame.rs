//! What every answer of this API has: the headers that let pages of other origins read it, and the
//! body of its error.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, HeaderName, HeaderValue,
};
use actix_web::middleware::Next;
use actix_web::{HttpRequest, web};
use slipway_farm::Farm;

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
    !looks && farm_of(request.request()).settings().packages_read_only
}

/// The farm that serves a request.
pub(crate) fn farm_of(request: &HttpRequest) -> Farm {
    match request.app_data::<web::Data<Farm>>() {
        Some(farm) => Farm::clone(farm),
        None => unreachable!("the routes are served with a farm"),
    }
}

/// Where the farm is, as a caller sees it: `scheme://host`.
pub(crate) fn base(request: &HttpRequest) -> String {
    if let Some(url) = &farm_of(request).settings().public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let connection = request.connection_info();
    format!("{}://{}", connection.scheme(), connection.host())
}

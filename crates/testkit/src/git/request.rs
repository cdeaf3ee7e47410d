//! Reading requests.

use actix_web::HttpRequest;

/// The value of a header, if it is text.
pub(super) fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

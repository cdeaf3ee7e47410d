//! The URL under which a caller reaches the farm.

use actix_web::HttpRequest;
use slipway_farm::Farm;

/// The operator's public URL, or `scheme://host` of the request.
pub(crate) fn base_url(farm: &Farm, request: &HttpRequest) -> String {
    slipway_http::base_url(request, farm.settings().public_url.as_deref())
}

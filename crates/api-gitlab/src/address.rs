//! Where the farm is, as a caller sees it.

use actix_web::HttpRequest;
use slipway_farm::Farm;

/// `scheme://host`, with a path if the operator gave the farm one.
pub(crate) fn base(farm: &Farm, request: &HttpRequest) -> String {
    slipway_http::base_url(request, farm.settings().public_url.as_deref())
}

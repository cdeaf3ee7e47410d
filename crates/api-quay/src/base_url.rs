//! The URL of the farm in links.

use actix_web::HttpRequest;
use slipway_farm::Farm;
use slipway_http::{app_state, base_url};

/// The base URL of the farm, as the caller sees it.
pub(crate) fn farm_base_url(request: &HttpRequest) -> String {
    let farm: Farm = app_state(request);
    base_url(request, farm.settings().public_url.as_deref())
}

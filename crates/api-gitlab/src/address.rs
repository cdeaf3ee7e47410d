//! Where the farm is, as a caller sees it.

use actix_web::HttpRequest;
use slipway_farm::Farm;

/// `scheme://host`, with a path if the operator gave the farm one.
pub(crate) fn base(farm: &Farm, request: &HttpRequest) -> String {
    if let Some(url) = &farm.settings().public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let connection = request.connection_info();
    format!("{}://{}", connection.scheme(), connection.host())
}

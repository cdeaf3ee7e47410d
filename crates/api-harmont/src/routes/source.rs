//! The sources that were handed in with a build, for its runners.

use actix_web::{HttpRequest, HttpResponse};
use slipway_domain::BuildUuid;
use slipway_domain::tokens::SourceToken;
use slipway_farm::{Farm, FarmError};
use slipway_http::app_state;

use crate::call::bearer;
use crate::problem::{Answer, Problem};

/// `GET /api/v0/internal/builds/{uuid}/source.tar.gz`: the bytes, for the build's own token.
///
/// 200; 401 for another token or none; 404 without such a build or such bytes.
pub(crate) async fn archive(request: HttpRequest) -> Answer {
    let uuid = request.match_info().get("uuid").unwrap_or_default();
    let uuid: BuildUuid = uuid.parse().map_err(|_| Problem::NoSource)?;
    let token = SourceToken::presented(bearer(request.headers()).unwrap_or_default());
    let farm: Farm = app_state(&request);
    let source = farm.stored_source(uuid, &token).await;
    let source = source.map_err(|error| match error {
        FarmError::NotFound(_) => Problem::NoSource,
        error => error.into(),
    })?;
    Ok(HttpResponse::Ok()
        .content_type("application/gzip")
        .no_chunking(source.size())
        .streaming(source))
}

//! Sources that were submitted with a build, for its runners.

use actix_web::{HttpRequest, HttpResponse};
use slipway_domain::BuildUuid;
use slipway_domain::tokens::SourceToken;
use slipway_farm::{Farm, FarmError};
use slipway_http::app_state;

use super::Answer;
use crate::auth::bearer;
use crate::error::HarmontError;

/// `GET /api/v0/internal/builds/{uuid}/source.tar.gz`: the archive. It needs the
/// token of this build's sources.
///
/// 200; 401 without that token; 404 if the build or the archive does not exist.
pub(super) async fn archive(request: HttpRequest) -> Answer {
    // Without a token, the answer is the same whether the build exists or not.
    let token = bearer(request.headers()).ok_or(FarmError::BadToken)?;
    let token = SourceToken::presented(token);
    let uuid = request.match_info().get("uuid").unwrap_or_default();
    let uuid: BuildUuid = uuid.parse().map_err(|_| HarmontError::NoSource)?;
    let farm: Farm = app_state(&request);
    let source = farm.stored_source(uuid, &token).await;
    let source = source.map_err(|error| match error {
        FarmError::NotFound(_) => HarmontError::NoSource,
        error => error.into(),
    })?;
    Ok(HttpResponse::Ok()
        .content_type("application/gzip")
        .no_chunking(source.size())
        .streaming(source))
}

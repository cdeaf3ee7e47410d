//! One tracing span for each request, so that the log lines of a request can be found together.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;
use slipway_farm::Farm;
use tracing::Instrument as _;

/// Runs a request in a span with its id, method and route.
///
/// The route is the pattern, such as `/api/v3/projects/{id}/triggers/{token}`. The path itself and the
/// query may contain tokens, which are never logged.
pub(crate) async fn in_request_span<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let farm = request.app_data::<Data<Farm>>();
    let id = farm.map(|farm| farm.request_id()).unwrap_or_default();
    // Of the level `error`, so that the span is there whatever level is logged.
    let span = tracing::error_span!(
        "request",
        request.id = id,
        method = %request.method(),
        route = request.match_pattern(),
    );
    next.call(request).instrument(span).await
}

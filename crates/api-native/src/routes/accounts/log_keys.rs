//! The keys that sign log tokens.

use actix_web::web::Data;
use actix_web::{HttpResponse, post};
use slipway_farm::Farm;

use crate::auth::Caller;
use crate::error::ApiResult;

/// Starts to sign log tokens with a new key.
///
/// Log tokens that were signed with earlier keys stay valid until they expire.
///
/// Status: 204; 401 without a valid token; 403 if the caller is not an administrator; 409 if the
/// keys are set in the configuration.
#[utoipa::path(operation_id = "rotate_log_keys", tag = "tokens", responses((status = 204)))]
#[post("/log-keys")]
pub(crate) async fn rotate(farm: Data<Farm>, caller: Caller) -> ApiResult<HttpResponse> {
    farm.rotate_log_keys(&caller.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

//! The keys that log tokens are signed with.

use actix_web::web::Data;
use actix_web::{HttpResponse, post};
use slipway_farm::Farm;

use crate::error::ApiError;
use crate::extract::Caller;

/// `POST /v1/log-keys`: signs log tokens with a new key from now on. Those that are out stay good
/// until they expire.
///
/// 204; 401; 403 to everybody but administrators; 409 when the configuration gives the keys.
#[utoipa::path(tag = "tokens", responses((status = 204)))]
#[post("/log-keys")]
pub(crate) async fn rotate(farm: Data<Farm>, caller: Caller) -> Result<HttpResponse, ApiError> {
    farm.rotate_log_keys(&caller.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

//! The state of the farm.

use actix_web::get;
use actix_web::web::{Data, Json};
use slipway_farm::Farm;

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::wire;

/// Shows whether the farm accepts uploads, traces and new builds.
///
/// It refuses them, with 503 and the code `disk_full`, while a disk of the coordinator is full.
///
/// Status: 200; 401 without a valid token; 403 for a token without the scope read.
#[utoipa::path(tag = "queue", responses((status = 200, body = wire::FarmStatus)))]
#[get("/status")]
pub(crate) async fn get_status(
    farm: Data<Farm>,
    caller: Caller,
) -> ApiResult<Json<wire::FarmStatus>> {
    Ok(Json(farm.status(&caller.0)?.into()))
}

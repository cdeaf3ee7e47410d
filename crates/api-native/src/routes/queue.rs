//! What waits, and why.

use actix_web::get;
use actix_web::web::{Data, Json, Path};
use slipway_domain::Role;
use slipway_farm::Farm;

use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::JobPath;
use crate::wire;

type Answer<T> = Result<T, ApiError>;

/// `GET /v1/queue`: what waits in the projects that the caller may see, and why.
///
/// 200; 401.
#[utoipa::path(tag = "queue", responses((status = 200, body = wire::Listing<wire::QueueLine>)))]
#[get("/queue")]
pub(crate) async fn get_queue(
    farm: Data<Farm>,
    caller: Caller,
) -> Answer<Json<wire::Listing<wire::QueueLine>>> {
    let lines = farm.queue(&caller.0).await?;
    let items = lines.into_iter().map(wire::QueueLine::from).collect();
    Ok(Json(wire::Listing::whole(items)))
}

/// `GET /v1/jobs/{id}/pending-reason`: why a job has not begun.
///
/// 200, with a null when it has; 400 for an id that is none; 401; 404 without such a job.
#[utoipa::path(tag = "queue", params(JobPath), responses((status = 200, body = wire::JobPendingReason)))]
#[get("/jobs/{id}/pending-reason")]
pub(crate) async fn get_pending_reason(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<JobPath>,
) -> Answer<Json<wire::JobPendingReason>> {
    let (access, job) = farm.job(&caller.0, path.id, Role::Reader).await?;
    let why = farm.pending_reason(&access, job.id).await?;
    Ok(Json(why.into()))
}

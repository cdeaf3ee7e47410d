//! The queue: which jobs are pending, and why.

use actix_web::get;
use actix_web::web::{Data, Json, Path};
use slipway_domain::Role;
use slipway_farm::Farm;

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::wire;
use crate::wire::paths::JobPath;

/// Lists the pending jobs of the projects that the caller may see, and why they are pending.
///
/// Jobs of one project that need the same tags are one line. If more than 100 jobs are pending, the
/// number of jobs and the time of the oldest may be some seconds old.
///
/// Status: 200; 401 without a valid token.
#[utoipa::path(tag = "queue", responses((status = 200, body = wire::Listing<wire::QueueLine>)))]
#[get("/queue")]
pub(crate) async fn get_queue(
    farm: Data<Farm>,
    caller: Caller,
) -> ApiResult<Json<wire::Listing<wire::QueueLine>>> {
    let lines = farm.queue(&caller.0).await?;
    let items = lines.into_iter().map(wire::QueueLine::from).collect();
    Ok(Json(wire::Listing::whole(items)))
}

/// Shows why a job has not started.
///
/// Status: 200, with a null if the job has started; 400 if the id is invalid; 401 without a valid
/// token; 404 if the job does not exist.
#[utoipa::path(
    tag = "queue",
    params(JobPath),
    responses((status = 200, body = wire::JobPendingReason))
)]
#[get("/jobs/{id}/pending-reason")]
pub(crate) async fn get_pending_reason(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<JobPath>,
) -> ApiResult<Json<wire::JobPendingReason>> {
    let (access, job) = farm.job(&caller.0, path.id, Role::Reader).await?;
    let why = farm.pending_reason(&access, job.id).await?;
    Ok(Json(why.into()))
}

//! Single jobs.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpResponse, get, post};
use slipway_domain::Role;
use slipway_farm::{Farm, Job, ProjectAccess};

use crate::auth::Caller;
use crate::convert;
use crate::error::ApiResult;
use crate::wire;
use crate::wire::paths::JobPath;

/// Shows a job.
///
/// Status: 200; 400 if the id is invalid; 401 without a valid token; 404 if the job does not
/// exist.
#[utoipa::path(tag = "jobs", params(JobPath), responses((status = 200, body = wire::Job)))]
#[get("/jobs/{id}")]
pub(crate) async fn get_job(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<JobPath>,
) -> ApiResult<Json<wire::Job>> {
    let (access, job) = farm.job(&caller.0, path.id, Role::Reader).await?;
    Ok(Json(response(&farm, &access, job).await?))
}

/// Cancels a job.
///
/// Status: 200; 400 if the id is invalid; 401 without a valid token; 403 if the caller's role is
/// below developer; 404 if the job does not exist; 409 if the job has finished.
#[utoipa::path(tag = "jobs", params(JobPath), responses((status = 200, body = wire::Job)))]
#[post("/jobs/{id}/cancel")]
pub(crate) async fn cancel_job(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<JobPath>,
) -> ApiResult<Json<wire::Job>> {
    let (access, job) = farm.job(&caller.0, path.id, Role::Developer).await?;
    let job = farm.cancel_job(&access, &job).await?;
    Ok(Json(response(&farm, &access, job).await?))
}

/// Retries a finished job.
///
/// The retry is a new job; the earlier attempt stays.
///
/// Status: 201 with the new job; 400 if the id is invalid; 401 without a valid token; 403 if the
/// caller's role is below developer; 404 if the job does not exist; 409 if the job has not
/// finished, or was retried before.
#[utoipa::path(tag = "jobs", params(JobPath), responses((status = 201, body = wire::Job)))]
#[post("/jobs/{id}/retry")]
pub(crate) async fn retry_job(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<JobPath>,
) -> ApiResult<HttpResponse> {
    let (access, job) = farm.job(&caller.0, path.id, Role::Developer).await?;
    let job = farm.retry_job(&caller.0, &access, &job).await?;
    Ok(HttpResponse::Created().json(response(&farm, &access, job).await?))
}

/// Starts a manual job.
///
/// Status: 200; 400 if the id is invalid; 401 without a valid token; 403 if the caller's role is
/// below developer; 404 if the job does not exist; 409 if the job is not manual, or was started
/// before.
#[utoipa::path(tag = "jobs", params(JobPath), responses((status = 200, body = wire::Job)))]
#[post("/jobs/{id}/play")]
pub(crate) async fn play_job(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<JobPath>,
) -> ApiResult<Json<wire::Job>> {
    let (access, job) = farm.job(&caller.0, path.id, Role::Developer).await?;
    let job = farm.play_job(&caller.0, &access, &job).await?;
    Ok(Json(response(&farm, &access, job).await?))
}

/// Erases the trace and the artifacts of a finished job.
///
/// Status: 200; 400 if the id is invalid; 401 without a valid token; 403 if the caller's role is
/// below developer; 404 if the job does not exist; 409 if the job has not finished, was erased
/// before, or has neither a trace nor artifacts.
#[utoipa::path(tag = "jobs", params(JobPath), responses((status = 200, body = wire::Job)))]
#[post("/jobs/{id}/erase")]
pub(crate) async fn erase_job(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<JobPath>,
) -> ApiResult<Json<wire::Job>> {
    let (access, job) = farm.job(&caller.0, path.id, Role::Developer).await?;
    let job = farm.erase_job(&caller.0, &access, &job).await?;
    Ok(Json(response(&farm, &access, job).await?))
}

/// The job as it is sent, with details from other tables.
async fn response(farm: &Farm, access: &ProjectAccess, job: Job) -> ApiResult<wire::Job> {
    let build = farm.build_of(&job).await?;
    let details = farm.job_details(job.id).await?;
    Ok(convert::job(job, details, &build, access.project()))
}

//! Jobs.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpResponse, get, post};
use slipway_domain::Role;
use slipway_farm::{Farm, Job, ProjectAccess};

use crate::convert;
use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::JobPath;
use crate::wire;

type Answer<T> = Result<T, ApiError>;

/// `GET /v1/jobs/{id}`: one job.
///
/// 200; 400 for an id that is none; 401; 404 without such a job.
#[utoipa::path(tag = "jobs", params(JobPath), responses((status = 200, body = wire::Job)))]
#[get("/jobs/{id}")]
pub(crate) async fn get_job(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<JobPath>,
) -> Answer<Json<wire::Job>> {
    let (access, job) = farm.job(&caller.0, path.id, Role::Reader).await?;
    Ok(Json(shown(&farm, &access, job).await?))
}

/// `POST /v1/jobs/{id}/cancel`: calls a job off.
///
/// 200; 400 for an id that is none; 401; 403 to lower roles than developer; 404 without such a
/// job; 409 when it is over.
#[utoipa::path(tag = "jobs", params(JobPath), responses((status = 200, body = wire::Job)))]
#[post("/jobs/{id}/cancel")]
pub(crate) async fn cancel_job(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<JobPath>,
) -> Answer<Json<wire::Job>> {
    let (access, job) = farm.job(&caller.0, path.id, Role::Developer).await?;
    let job = farm.cancel_job(&access, &job).await?;
    Ok(Json(shown(&farm, &access, job).await?))
}

/// `POST /v1/jobs/{id}/retry`: makes a new attempt at a job that is over.
///
/// 201 with the new job; 400 for an id that is none; 401; 403 to lower roles than developer; 404
/// without such a job; 409 when it is not over, or was retried before.
#[utoipa::path(tag = "jobs", params(JobPath), responses((status = 201, body = wire::Job)))]
#[post("/jobs/{id}/retry")]
pub(crate) async fn retry_job(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<JobPath>,
) -> Answer<HttpResponse> {
    let (access, job) = farm.job(&caller.0, path.id, Role::Developer).await?;
    let job = farm.retry_job(&caller.0, &access, &job).await?;
    Ok(HttpResponse::Created().json(shown(&farm, &access, job).await?))
}

/// `POST /v1/jobs/{id}/play`: starts a job that waits for somebody to start it.
///
/// 200; 400 for an id that is none; 401; 403 to lower roles than developer; 404 without such a
/// job; 409 when it does not wait for that.
#[utoipa::path(tag = "jobs", params(JobPath), responses((status = 200, body = wire::Job)))]
#[post("/jobs/{id}/play")]
pub(crate) async fn play_job(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<JobPath>,
) -> Answer<Json<wire::Job>> {
    let (access, job) = farm.job(&caller.0, path.id, Role::Developer).await?;
    let job = farm.play_job(&caller.0, &access, &job).await?;
    Ok(Json(shown(&farm, &access, job).await?))
}

/// `POST /v1/jobs/{id}/erase`: erases the trace and the artifacts of a job that is over.
///
/// 200; 400 for an id that is none; 401; 403 to lower roles than developer; 404 without such a
/// job; 409 when it is not over, was erased before, or has neither trace nor artifacts.
#[utoipa::path(tag = "jobs", params(JobPath), responses((status = 200, body = wire::Job)))]
#[post("/jobs/{id}/erase")]
pub(crate) async fn erase_job(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<JobPath>,
) -> Answer<Json<wire::Job>> {
    let (access, job) = farm.job(&caller.0, path.id, Role::Developer).await?;
    let job = farm.erase_job(&caller.0, &access, &job).await?;
    Ok(Json(shown(&farm, &access, job).await?))
}

async fn shown(farm: &Farm, access: &ProjectAccess, job: Job) -> Answer<wire::Job> {
    let build = farm.build_of(&job).await?;
    let details = farm.job_details(job.id).await?;
    Ok(convert::job(job, details, &build, access.project()))
}

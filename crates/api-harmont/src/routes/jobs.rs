//! The jobs of builds.

use actix_web::HttpResponse;
use serde_json::json;
use slipway_domain::JobUuid;

use super::{Answer, BuildPath};
use crate::auth::{Call, FoundBuild};
use crate::convert;
use crate::error::HarmontError;
use crate::wire::{Job, JobList};

/// `GET …/builds/{number}/jobs`: all jobs of a build, each after the jobs that it needs.
///
/// 200; 401; 404 if the organization, pipeline or build does not exist.
#[utoipa::path(
    get,
    path = "/api/v0/organizations/{org}/pipelines/{pipeline}/builds/{number}/jobs",
    operation_id = "listJobs",
    tag = "jobs",
    params(BuildPath),
    responses((status = 200, description = "The jobs.", body = JobList))
)]
pub(super) async fn list(call: Call) -> Answer {
    Ok(HttpResponse::Ok().json(json!({ "data": jobs(&call).await? })))
}

/// `GET …/builds/{number}/jobs/{job_id}`: one job.
///
/// 200; 401; 404 if the organization, pipeline, build or job does not exist.
#[utoipa::path(
    get,
    path = "/api/v0/organizations/{org}/pipelines/{pipeline}/builds/{number}/jobs/{job_id}",
    operation_id = "getJob",
    tag = "jobs",
    params(BuildPath, ("job_id" = Uuid, Path, description = "The id of the job.")),
    responses((status = 200, description = "The job.", body = Job))
)]
pub(super) async fn read(call: Call) -> Answer {
    let id = call.http.match_info().get("job_id").unwrap_or_default();
    // The build is looked up before the id is parsed: a missing build is the more useful error.
    let jobs = jobs(&call).await?;
    let id: JobUuid = id.parse().map_err(|_| HarmontError::NoJob)?;
    let id = id.to_string();
    let job = jobs.into_iter().find(|job| job.id == id);
    Ok(HttpResponse::Ok().json(job.ok_or(HarmontError::NoJob)?))
}

async fn jobs(call: &Call) -> Result<Vec<Job>, HarmontError> {
    let FoundBuild { build, .. } = call.build().await?;
    let details = call.farm.detailed_build(build.id).await?;
    let needs = call.farm.needs_among(build.id, &details.jobs).await?;
    let jobs = convert::in_order(details.jobs, &needs).into_iter();
    let jobs = jobs.map(|job| {
        let needed = needs.get(&job.job.id).map_or(&[][..], Vec::as_slice);
        convert::job(build.uuid, &job, needed)
    });
    Ok(jobs.collect())
}

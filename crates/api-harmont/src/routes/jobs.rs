//! The jobs of builds.

use actix_web::HttpResponse;
use serde_json::json;
use slipway_domain::JobUuid;

use crate::call::{Call, Place};
use crate::convert;
use crate::described::JobList;
use crate::problem::{Answer, Problem};
use crate::shapes::Job;

/// `GET …/builds/{number}/jobs`: all jobs of a build, each after those that it needs.
///
/// 200; 401; 404 without such an organization, pipeline or build.
#[utoipa::path(get, path = "/api/v0/organizations/{org}/pipelines/{pipeline}/builds/{number}/jobs", operation_id = "listJobs", tag = "jobs", params(("org" = String, Path, description = "The short name of the organization."), ("pipeline" = String, Path, description = "The short name of the pipeline."), ("number" = i64, Path, description = "The number of the build.")), responses((status = 200, description = "The jobs.", body = JobList)))]
pub(crate) async fn list(call: Call) -> Answer {
    Ok(HttpResponse::Ok().json(json!({ "data": jobs(&call).await? })))
}

/// `GET …/builds/{number}/jobs/{job_id}`: one job.
///
/// 200; 401; 404 without such an organization, pipeline, build or job.
#[utoipa::path(get, path = "/api/v0/organizations/{org}/pipelines/{pipeline}/builds/{number}/jobs/{job_id}", operation_id = "getJob", tag = "jobs", params(("org" = String, Path, description = "The short name of the organization."), ("pipeline" = String, Path, description = "The short name of the pipeline."), ("number" = i64, Path, description = "The number of the build."), ("job_id" = Uuid, Path, description = "The id of the job.")), responses((status = 200, description = "The job.", body = Job)))]
pub(crate) async fn read(call: Call) -> Answer {
    let id = call.http.match_info().get("job_id").unwrap_or_default();
    let jobs = jobs(&call).await?;
    let id: JobUuid = id.parse().map_err(|_| Problem::NoJob)?;
    let id = id.to_string();
    let job = jobs.into_iter().find(|job| job.id == id);
    Ok(HttpResponse::Ok().json(job.ok_or(Problem::NoJob)?))
}

async fn jobs(call: &Call) -> Result<Vec<Job>, Problem> {
    let Place { build, .. } = call.build().await?;
    let shown = call.farm.detailed_build(build.id).await?;
    let needs = call.farm.needs_among(build.id, &shown.jobs).await?;
    let jobs = convert::in_order(shown.jobs, &needs).into_iter();
    let told = jobs.map(|job| {
        let own = needs.get(&job.job.id).map_or(&[][..], Vec::as_slice);
        convert::job(build.uuid, &job, own)
    });
    Ok(told.collect())
}

//! The jobs of builds.

use actix_web::HttpResponse;
use serde_json::json;
use slipway_domain::JobUuid;

use crate::call::{Call, Place};
use crate::problem::Problem;
use crate::rest::Answer;
use crate::{convert, shapes};

/// `GET …/builds/{number}/jobs`: all jobs of a build, each after those that it needs.
///
/// 200; 401; 404 without such an organization, pipeline or build.
pub(crate) async fn list(call: Call) -> Answer {
    Ok(HttpResponse::Ok().json(json!({ "data": jobs(&call).await? })))
}

/// `GET …/builds/{number}/jobs/{job_id}`: one job.
///
/// 200; 401; 404 without such an organization, pipeline, build or job.
pub(crate) async fn read(call: Call) -> Answer {
    let id = call.http.match_info().get("job_id").unwrap_or_default();
    let jobs = jobs(&call).await?;
    let id: JobUuid = id.parse().map_err(|_| Problem::NoJob)?;
    let id = id.to_string();
    let job = jobs.into_iter().find(|job| job.id == id);
    Ok(HttpResponse::Ok().json(job.ok_or(Problem::NoJob)?))
}

async fn jobs(call: &Call) -> Result<Vec<shapes::Job>, Problem> {
    let Place { build, .. } = call.build().await?;
    let shown = call.farm.shown_build(build.id).await?;
    let needs = call.farm.needs_among(build.id, &shown.jobs).await?;
    let jobs = convert::in_order(shown.jobs, &needs).into_iter();
    let told = jobs.map(|job| {
        let own = needs.get(&job.job.id).map_or(&[][..], Vec::as_slice);
        convert::job(build.uuid, &job, own)
    });
    Ok(told.collect())
}

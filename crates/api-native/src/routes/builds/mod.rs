//! Builds, and below them jobs, traces, artifacts and uploaded sources.

pub(crate) mod artifacts;
pub(crate) mod jobs;
pub(crate) mod sources;
pub(crate) mod traces;

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, get, post};
use slipway_domain::Role;
use slipway_farm::{Build, BuildFilter, Farm, ProjectAccess};

use crate::auth::Caller;
use crate::convert::{self, RequestedBuild};
use crate::error::ApiResult;
use crate::extractors::JsonBody;
use crate::wire::paths::{BuildPath, ProjectPath};
use crate::wire::{self, PageQuery};

/// Builds a commit, or a source archive that was uploaded before.
///
/// Status: 201 with the build and its jobs; 400 if the repository has no such ref, or no
/// repository is set for the image; 401 without a valid token; 403 if the caller's role is below
/// developer; 404 if the project, the pipeline or the source archive does not exist; 503 if the
/// repository cannot be reached.
#[utoipa::path(
    tag = "builds",
    params(ProjectPath),
    request_body = wire::NewBuild,
    responses((status = 201, body = wire::BuildWithJobs))
)]
#[post("/projects/{ns}/{name}/builds")]
pub(crate) async fn create_build(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: JsonBody<wire::NewBuild>,
) -> ApiResult<HttpResponse> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Developer)
        .await?;
    let body = body.into_inner();
    let build = match convert::requested_build(body)? {
        RequestedBuild::Commit(request) => farm.create_build(&caller.0, &access, request).await?,
        RequestedBuild::Source(source, request) => {
            farm.build_source(&caller.0, &access, source, request)
                .await?
        }
    };
    Ok(HttpResponse::Created().json(with_jobs(&farm, &access, build).await?))
}

/// Checks whether a source archive could be built this way, before it is uploaded.
///
/// Nothing is created.
///
/// Status: 200 with the repository to which the image would be pushed; 400 if the image spec is
/// invalid, or no repository is set for the image; 401 without a valid token; 403 if the caller's
/// role is below developer; 404 if the project or the pipeline does not exist.
#[utoipa::path(
    tag = "builds",
    params(ProjectPath),
    request_body = wire::BuildToCheck,
    responses((status = 200, body = wire::CheckedBuild))
)]
#[post("/projects/{ns}/{name}/builds/check")]
pub(crate) async fn check_build(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: JsonBody<wire::BuildToCheck>,
) -> ApiResult<Json<wire::CheckedBuild>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Developer)
        .await?;
    let request = convert::check_request(body.into_inner());
    let repository = farm.check_source_build(&access, request).await?;
    Ok(Json(convert::checked_build(repository)))
}

/// Lists the builds of a project, newest first.
///
/// Status: 200; 400 if a filter or a paging parameter is invalid; 401 without a valid token; 404
/// if the project or the pipeline does not exist.
#[utoipa::path(
    tag = "builds",
    params(ProjectPath, wire::BuildQuery, PageQuery),
    responses((status = 200, body = wire::Listing<wire::Build>))
)]
#[get("/projects/{ns}/{name}/builds")]
pub(crate) async fn list_builds(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    query: Query<PageQuery>,
    filter: Query<wire::BuildQuery>,
) -> ApiResult<Json<wire::Listing<wire::Build>>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Reader)
        .await?;
    let filter = filter.into_inner();
    // Looked up before the builds, so that an unknown pipeline is an error and not an empty list.
    let pipeline = match &filter.pipeline {
        Some(slug) => Some(farm.pipeline(&access, slug).await?.id),
        None => None,
    };
    let filter = BuildFilter {
        pipeline,
        state: filter.state,
        sha: filter.sha,
        git_ref: filter.git_ref,
    };
    let rows = farm.builds(&access, filter, query.page()).await?;
    let pipelines = farm.pipelines(&access).await?;
    let convert = |row| convert::build(row, access.project(), &pipelines);
    Ok(Json(wire::Listing::page(
        rows,
        &query,
        |row| row.id.0,
        convert,
    )))
}

/// Shows a build with its jobs.
///
/// Status: 200; 400 if the id is invalid; 401 without a valid token; 404 if the build does not
/// exist.
#[utoipa::path(
    tag = "builds",
    params(BuildPath),
    responses((status = 200, body = wire::BuildWithJobs))
)]
#[get("/builds/{uuid}")]
pub(crate) async fn get_build(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<BuildPath>,
) -> ApiResult<Json<wire::BuildWithJobs>> {
    let (access, build) = farm.build(&caller.0, path.uuid, Role::Reader).await?;
    Ok(Json(with_jobs(&farm, &access, build).await?))
}

/// Cancels all unfinished jobs of a build.
///
/// Status: 200 with the build and its jobs; 400 if the id is invalid; 401 without a valid token;
/// 403 if the caller's role is below developer; 404 if the build does not exist; 409 if the build
/// has finished.
#[utoipa::path(
    tag = "builds",
    params(BuildPath),
    responses((status = 200, body = wire::BuildWithJobs))
)]
#[post("/builds/{uuid}/cancel")]
pub(crate) async fn cancel_build(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<BuildPath>,
) -> ApiResult<Json<wire::BuildWithJobs>> {
    let (access, build) = farm.build(&caller.0, path.uuid, Role::Developer).await?;
    let build = farm.cancel_build(&access, &build).await?;
    Ok(Json(with_jobs(&farm, &access, build).await?))
}

/// Retries all jobs of a build that did not succeed.
///
/// Each retry is a new job; the earlier attempts stay.
///
/// Status: 200 with the build and its jobs; 400 if the id is invalid; 401 without a valid token;
/// 403 if the caller's role is below developer; 404 if the build does not exist; 409 if there is
/// nothing to retry, or the source archive has expired.
#[utoipa::path(
    tag = "builds",
    params(BuildPath),
    responses((status = 200, body = wire::BuildWithJobs))
)]
#[post("/builds/{uuid}/retry")]
pub(crate) async fn retry_build(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<BuildPath>,
) -> ApiResult<Json<wire::BuildWithJobs>> {
    let (access, build) = farm.build(&caller.0, path.uuid, Role::Developer).await?;
    let build = farm.retry_build(&caller.0, &access, &build).await?;
    Ok(Json(with_jobs(&farm, &access, build).await?))
}

/// The build with its jobs, read with three queries however many jobs there are.
async fn with_jobs(
    farm: &Farm,
    access: &ProjectAccess,
    build: Build,
) -> ApiResult<wire::BuildWithJobs> {
    let jobs = farm.jobs_of(build.id).await?;
    let mut details = farm.details_of_jobs(build.id).await?;
    let pipelines = farm.pipelines(access).await?;
    let project = access.project();
    Ok(wire::BuildWithJobs {
        jobs: jobs
            .into_iter()
            .map(|job| {
                let details = details.remove(&job.id).unwrap_or_default();
                convert::job(job, details, &build, project)
            })
            .collect(),
        build: convert::build(build, project, &pipelines),
    })
}

//! Builds.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, get, post};
use slipway_domain::Role;
use slipway_farm::{Build, BuildFilter, Farm, ProjectAccess};

use crate::convert::{self, Asked};
use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::{BuildPath, ProjectPath};
use crate::wire::{self, PageQuery};

type Answer<T> = Result<T, ApiError>;

/// `POST /v1/projects/{ns}/{name}/builds`: builds a commit, or sources that were sent before.
///
/// 201 with the build and its jobs; 400 when the repository has no such ref, or the image nowhere to
/// go; 401; 403 to lower roles than developer; 404 without such a project, pipeline or source; 503 when the repository cannot be
/// asked.
#[utoipa::path(tag = "builds", params(ProjectPath), request_body = wire::NewBuild, responses((status = 201, body = wire::BuildWithJobs)))]
#[post("/projects/{ns}/{name}/builds")]
pub(crate) async fn create_build(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: Json<wire::NewBuild>,
) -> Answer<HttpResponse> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Developer);
    let access = access.await?;
    let body = body.into_inner();
    let build = match convert::asked(body)? {
        Asked::Commit(request) => farm.create_build(&caller.0, &access, request).await?,
        Asked::Source(source, request) => {
            farm.build_source(&caller.0, &access, source, request)
                .await?
        }
    };
    Ok(HttpResponse::Created().json(with_jobs(&farm, &access, build).await?))
}

/// `POST /v1/projects/{ns}/{name}/builds/check`: whether sources could be built so, before they are
/// sent.
///
/// Nothing is made. 200 with where the image would be pushed; 400 when the image cannot be built so,
/// or has nowhere to go; 401; 403 to lower roles than developer; 404 without such a project or
/// pipeline.
#[utoipa::path(tag = "builds", params(ProjectPath), request_body = wire::BuildToCheck, responses((status = 200, body = wire::CheckedBuild)))]
#[post("/projects/{ns}/{name}/builds/check")]
pub(crate) async fn check_build(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: Json<wire::BuildToCheck>,
) -> Answer<Json<wire::CheckedBuild>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Developer);
    let access = access.await?;
    let request = convert::asked_before(body.into_inner());
    let repository = farm.check_source_build(&access, request).await?;
    Ok(Json(convert::checked_build(repository)))
}

/// `GET /v1/projects/{ns}/{name}/builds`: a project's builds, newest first.
///
/// 200; 400 for a filter or a page that is none; 401; 404 without such a project or pipeline.
#[utoipa::path(tag = "builds", params(ProjectPath, wire::BuildQuery, PageQuery), responses((status = 200, body = wire::Listing<wire::Build>)))]
#[get("/projects/{ns}/{name}/builds")]
pub(crate) async fn list_builds(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    query: Query<PageQuery>,
    filter: Query<wire::BuildQuery>,
) -> Answer<Json<wire::Listing<wire::Build>>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Reader);
    let access = access.await?;
    let filter = filter.into_inner();
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
    let shown = |row| convert::build(row, access.project(), &pipelines);
    Ok(Json(wire::Listing::page(
        rows,
        &query,
        |row| row.id.0,
        shown,
    )))
}

/// `GET /v1/builds/{uuid}`: a build with its jobs.
///
/// 200; 400 for an id that is none; 401; 404 without such a build.
#[utoipa::path(tag = "builds", params(BuildPath), responses((status = 200, body = wire::BuildWithJobs)))]
#[get("/builds/{uuid}")]
pub(crate) async fn get_build(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<BuildPath>,
) -> Answer<Json<wire::BuildWithJobs>> {
    let (access, build) = farm.build(&caller.0, path.uuid, Role::Reader).await?;
    Ok(Json(with_jobs(&farm, &access, build).await?))
}

/// `POST /v1/builds/{uuid}/cancel`: calls off what is not over.
///
/// 200 with the build and its jobs; 400 for an id that is none; 401; 403 to lower roles than
/// developer; 404 without such a build; 409 when it is over.
#[utoipa::path(tag = "builds", params(BuildPath), responses((status = 200, body = wire::BuildWithJobs)))]
#[post("/builds/{uuid}/cancel")]
pub(crate) async fn cancel_build(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<BuildPath>,
) -> Answer<Json<wire::BuildWithJobs>> {
    let (access, build) = farm.build(&caller.0, path.uuid, Role::Developer).await?;
    let build = farm.cancel_build(&access, &build).await?;
    Ok(Json(with_jobs(&farm, &access, build).await?))
}

/// `POST /v1/builds/{uuid}/retry`: makes new attempts at what did not succeed.
///
/// 200 with the build and its jobs; 400 for an id that is none; 401; 403 to lower roles than
/// developer; 404 without such a build; 409 when nothing can be retried, or the sources are not kept
/// any more.
#[utoipa::path(tag = "builds", params(BuildPath), responses((status = 200, body = wire::BuildWithJobs)))]
#[post("/builds/{uuid}/retry")]
pub(crate) async fn retry_build(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<BuildPath>,
) -> Answer<Json<wire::BuildWithJobs>> {
    let (access, build) = farm.build(&caller.0, path.uuid, Role::Developer).await?;
    let build = farm.retry_build(&caller.0, &access, &build).await?;
    Ok(Json(with_jobs(&farm, &access, build).await?))
}

async fn with_jobs(
    farm: &Farm,
    access: &ProjectAccess,
    build: Build,
) -> Answer<wire::BuildWithJobs> {
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

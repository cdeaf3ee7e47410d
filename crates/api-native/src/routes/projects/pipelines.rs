//! Pipelines of projects.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpResponse, get, patch, post, put};
use slipway_domain::Role;
use slipway_farm::{Farm, PipelineChange, PipelineUpdate};

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extractors::JsonBody;
use crate::wire;
use crate::wire::paths::{PipelinePath, ProjectPath};

/// Lists the pipelines of a project, sorted by slug.
///
/// Status: 200; 400 if a name in the path is invalid; 401 without a valid token; 404 if the
/// project does not exist.
#[utoipa::path(
    tag = "pipelines",
    params(ProjectPath),
    responses((status = 200, body = wire::Listing<wire::Pipeline>))
)]
#[get("/projects/{ns}/{name}/pipelines")]
pub(crate) async fn list_pipelines(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> ApiResult<Json<wire::Listing<wire::Pipeline>>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Reader)
        .await?;
    let rows = farm.pipelines(&access).await?;
    let items = rows.into_iter().map(wire::Pipeline::from).collect();
    Ok(Json(wire::Listing::whole(items)))
}

/// Adds a pipeline to a project.
///
/// Status: 201; 400 if the definition is invalid; 401 without a valid token; 403 if the caller's
/// role is below maintainer; 404 if the project does not exist; 409 if the slug is taken.
#[utoipa::path(
    tag = "pipelines",
    params(ProjectPath),
    request_body = wire::NewPipeline,
    responses((status = 201, body = wire::Pipeline))
)]
#[post("/projects/{ns}/{name}/pipelines")]
pub(crate) async fn create_pipeline(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: JsonBody<wire::NewPipeline>,
) -> ApiResult<HttpResponse> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    let body = body.into_inner();
    let change = PipelineChange {
        definition: body.definition,
        from_repository: body.from_repository,
    };
    let pipeline = farm.create_pipeline(&access, &body.slug, change).await?;
    Ok(HttpResponse::Created().json(wire::Pipeline::from(pipeline)))
}

/// Shows a pipeline.
///
/// Status: 200; 400 if the slug is invalid; 401 without a valid token; 404 if the project or the
/// pipeline does not exist.
#[utoipa::path(
    tag = "pipelines",
    params(PipelinePath),
    responses((status = 200, body = wire::Pipeline))
)]
#[get("/projects/{ns}/{name}/pipelines/{slug}")]
pub(crate) async fn get_pipeline(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<PipelinePath>,
) -> ApiResult<Json<wire::Pipeline>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Reader)
        .await?;
    let pipeline = farm.pipeline(&access, &path.slug).await?;
    Ok(Json(pipeline.into()))
}

/// Sets the jobs of a pipeline, and creates the pipeline if it does not exist.
///
/// Status: 200; 400 if the definition is invalid, or the body is empty; 401 without a valid token;
/// 403 if the caller's role is below maintainer; 404 if the project does not exist.
#[utoipa::path(
    tag = "pipelines",
    params(PipelinePath),
    request_body = wire::PipelineChange,
    responses((status = 200, body = wire::Pipeline))
)]
#[put("/projects/{ns}/{name}/pipelines/{slug}")]
pub(crate) async fn put_pipeline(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<PipelinePath>,
    body: JsonBody<wire::PipelineChange>,
) -> ApiResult<Json<wire::Pipeline>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    let put = farm
        .put_pipeline(&access, &path.slug, body.into_inner())
        .await?;
    Ok(Json(put.into()))
}

/// Changes the properties of a pipeline besides its jobs.
///
/// These are its title and description, the repository by which it is found, whether users may
/// start it, and whether it is archived.
///
/// Status: 200; 400 if a text is invalid; 401 without a valid token; 403 if the caller's role is
/// below maintainer; 404 if the project or the pipeline does not exist.
#[utoipa::path(
    tag = "pipelines",
    params(PipelinePath),
    request_body = wire::PipelineDescription,
    responses((status = 200, body = wire::Pipeline))
)]
#[patch("/projects/{ns}/{name}/pipelines/{slug}")]
pub(crate) async fn describe_pipeline(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<PipelinePath>,
    body: JsonBody<wire::PipelineDescription>,
) -> ApiResult<Json<wire::Pipeline>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    let body = body.into_inner();
    let update = PipelineUpdate {
        title: body.title,
        description: body.description,
        repo_name: body.repo_name,
        source_slug: body.source_slug,
        allow_manual: body.allow_manual,
        archived: body.archived,
    };
    let described = farm.describe_pipeline(&access, &path.slug, update).await?;
    Ok(Json(described.into()))
}

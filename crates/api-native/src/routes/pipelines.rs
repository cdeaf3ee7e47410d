//! Pipelines of projects.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpResponse, get, patch, post, put};
use slipway_domain::Role;
use slipway_farm::{Farm, PipelineChange, PipelineUpdate};

use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::{PipelinePath, ProjectPath};
use crate::wire;

type Answer<T> = Result<T, ApiError>;

/// `GET /v1/projects/{ns}/{name}/pipelines`: a project's pipelines, by slug.
///
/// 200; 400 for a name that is none; 401; 404 without such a project.
#[utoipa::path(tag = "pipelines", params(ProjectPath), responses((status = 200, body = wire::Listing<wire::Pipeline>)))]
#[get("/projects/{ns}/{name}/pipelines")]
pub(crate) async fn list_pipelines(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> Answer<Json<wire::Listing<wire::Pipeline>>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Reader);
    let rows = farm.pipelines(&access.await?).await?;
    let items = rows.into_iter().map(wire::Pipeline::from).collect();
    Ok(Json(wire::Listing::whole(items)))
}

/// `POST /v1/projects/{ns}/{name}/pipelines`: adds a pipeline.
///
/// 201; 400 for a definition that cannot run; 401; 403 to lower roles than maintainer; 404 without
/// such a project; 409 when the slug is taken.
#[utoipa::path(tag = "pipelines", params(ProjectPath), request_body = wire::NewPipeline, responses((status = 201, body = wire::Pipeline)))]
#[post("/projects/{ns}/{name}/pipelines")]
pub(crate) async fn create_pipeline(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: Json<wire::NewPipeline>,
) -> Answer<HttpResponse> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    let access = access.await?;
    let body = body.into_inner();
    let change = PipelineChange {
        definition: body.definition,
        from_repository: body.from_repository,
    };
    let made = farm.create_pipeline(&access, &body.slug, change);
    Ok(HttpResponse::Created().json(wire::Pipeline::from(made.await?)))
}

/// `GET /v1/projects/{ns}/{name}/pipelines/{slug}`: one pipeline.
///
/// 200; 400 for a slug that is none; 401; 404 without such a project or pipeline.
#[utoipa::path(tag = "pipelines", params(PipelinePath), responses((status = 200, body = wire::Pipeline)))]
#[get("/projects/{ns}/{name}/pipelines/{slug}")]
pub(crate) async fn get_pipeline(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<PipelinePath>,
) -> Answer<Json<wire::Pipeline>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Reader);
    let pipeline = farm.pipeline(&access.await?, &path.slug).await?;
    Ok(Json(pipeline.into()))
}

/// `PUT /v1/projects/{ns}/{name}/pipelines/{slug}`: says what a pipeline runs from now on, and
/// adds it when there is none.
///
/// 200; 400 for a definition that cannot run, or nothing said at all; 401; 403 to lower roles than maintainer; 404 without
/// such a project.
#[utoipa::path(tag = "pipelines", params(PipelinePath), request_body = wire::PipelineChange, responses((status = 200, body = wire::Pipeline)))]
#[put("/projects/{ns}/{name}/pipelines/{slug}")]
pub(crate) async fn put_pipeline(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<PipelinePath>,
    body: Json<wire::PipelineChange>,
) -> Answer<Json<wire::Pipeline>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    let access = access.await?;
    let put = farm.put_pipeline(&access, &path.slug, body.into_inner());
    Ok(Json(put.await?.into()))
}

/// `PATCH /v1/projects/{ns}/{name}/pipelines/{slug}`: changes what is known of a pipeline besides
/// its jobs: by what repository it is found, whether people may have it run, whether it is put away.
///
/// 200; 400 for a text that cannot be; 401; 403 to lower roles than maintainer; 404 without such a
/// project or pipeline.
#[utoipa::path(tag = "pipelines", params(PipelinePath), request_body = wire::PipelineDescription, responses((status = 200, body = wire::Pipeline)))]
#[patch("/projects/{ns}/{name}/pipelines/{slug}")]
pub(crate) async fn describe_pipeline(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<PipelinePath>,
    body: Json<wire::PipelineDescription>,
) -> Answer<Json<wire::Pipeline>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    let access = access.await?;
    let body = body.into_inner();
    let update = PipelineUpdate {
        title: body.title,
        description: body.description,
        repo_name: body.repo_name,
        source_slug: body.source_slug,
        allow_manual: body.allow_manual,
        archived: body.archived,
    };
    let described = farm.describe_pipeline(&access, &path.slug, update);
    Ok(Json(described.await?.into()))
}

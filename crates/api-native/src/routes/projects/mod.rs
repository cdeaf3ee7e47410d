//! Projects and their members, and below them what belongs to one project.

pub(crate) mod deploy_keys;
pub(crate) mod pipelines;
pub(crate) mod triggers;
pub(crate) mod variables;
pub(crate) mod webhook_secret;

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, delete, get, patch, post, put};
use slipway_domain::{RefName, Role};
use slipway_farm::{Farm, FarmError, ProjectSettings, ProjectUpdate};

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extractors::JsonBody;
use crate::wire::paths::{ProjectMemberPath, ProjectPath};
use crate::wire::{self, PageQuery};

/// Lists the projects that the caller may see, newest first.
///
/// Status: 200; 400 if a paging parameter is invalid; 401 without a valid token.
#[utoipa::path(
    tag = "projects",
    params(PageQuery),
    responses((status = 200, body = wire::Listing<wire::Project>))
)]
#[get("/projects")]
pub(crate) async fn list_projects(
    farm: Data<Farm>,
    caller: Caller,
    query: Query<PageQuery>,
) -> ApiResult<Json<wire::Listing<wire::Project>>> {
    let rows = farm.projects(&caller.0, query.page()).await?;
    let list = wire::Listing::page(rows, &query, |row| row.id.0, wire::Project::from);
    Ok(Json(list))
}

/// Creates a project, with a pipeline `default` that builds one image.
///
/// Status: 201; 400 if the body is invalid, or the repository URL contains a password; 401 without
/// a valid token; 403 if the caller's role in the namespace is below maintainer; 404 if the
/// namespace does not exist; 409 if the name is taken.
#[utoipa::path(
    tag = "projects",
    request_body = wire::NewProject,
    responses((status = 201, body = wire::Project))
)]
#[post("/projects")]
pub(crate) async fn create_project(
    farm: Data<Farm>,
    caller: Caller,
    body: JsonBody<wire::NewProject>,
) -> ApiResult<HttpResponse> {
    let body = body.into_inner();
    let access = farm
        .namespace(&caller.0, &body.namespace, Role::Maintainer)
        .await?;
    let default_branch = match body.default_branch {
        Some(branch) => branch.into_branch(),
        None => RefName::parse_branch("main"),
    };
    let default_branch = default_branch.map_err(FarmError::from)?;
    let settings = ProjectSettings {
        image_repository: body.image_repository,
        shared_runners: body.shared_runners,
        max_running: body.max_running,
        description: body.description,
        visibility: body.visibility,
        public_builds: body.public_builds,
        builds_enabled: body.builds_enabled,
        submodules: body.submodules,
        ..ProjectSettings::of_source(body.repo_url, default_branch)
    };
    let project = farm
        .create_project(&caller.0, &access, &body.name, settings)
        .await?;
    Ok(HttpResponse::Created().json(wire::Project::from(project)))
}

/// Shows a project.
///
/// Status: 200; 400 if a name in the path is invalid; 401 without a valid token; 404 if the
/// project does not exist.
#[utoipa::path(
    tag = "projects",
    params(ProjectPath),
    responses((status = 200, body = wire::Project))
)]
#[get("/projects/{ns}/{name}")]
pub(crate) async fn get_project(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> ApiResult<Json<wire::Project>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Guest)
        .await?;
    Ok(Json(access.project().clone().into()))
}

/// Changes the settings of a project.
///
/// Status: 200; 400 if the body is invalid, or the repository URL contains a password; 401 without
/// a valid token; 403 if the caller's role is below maintainer; 404 if the project does not exist.
#[utoipa::path(
    tag = "projects",
    params(ProjectPath),
    request_body = wire::ProjectChange,
    responses((status = 200, body = wire::Project))
)]
#[patch("/projects/{ns}/{name}")]
pub(crate) async fn update_project(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: JsonBody<wire::ProjectChange>,
) -> ApiResult<Json<wire::Project>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    let body = body.into_inner();
    let default_branch = body.default_branch.map(RefName::into_branch).transpose();
    let change = ProjectUpdate {
        repo_url: body.repo_url,
        default_branch: default_branch.map_err(FarmError::from)?,
        image_repository: body.image_repository,
        shared_runners: body.shared_runners,
        max_running: body.max_running,
        name: body.name,
        description: body.description,
        visibility: body.visibility,
        public_builds: body.public_builds,
        builds_enabled: body.builds_enabled,
        read_only: body.read_only,
        submodules: body.submodules,
    };
    let project = farm.update_project(&access, change).await?;
    Ok(Json(project.into()))
}

/// Deletes a project with its builds, traces and artifacts.
///
/// Images that were pushed stay in their registry.
///
/// Status: 204; 400 if a name in the path is invalid; 401 without a valid token; 403 if the
/// caller's role is below owner; 404 if the project does not exist.
#[utoipa::path(tag = "projects", params(ProjectPath), responses((status = 204)))]
#[delete("/projects/{ns}/{name}")]
pub(crate) async fn delete_project(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> ApiResult<HttpResponse> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Owner)
        .await?;
    farm.delete_project(&access).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Lists the members of a project, newest user first.
///
/// Members of the namespace are not listed, although their role also holds in the project.
///
/// Status: 200; 400 if a paging parameter is invalid; 401 without a valid token; 404 if the
/// project does not exist.
#[utoipa::path(
    tag = "projects",
    params(ProjectPath, PageQuery),
    responses((status = 200, body = wire::Listing<wire::Member>))
)]
#[get("/projects/{ns}/{name}/members")]
pub(crate) async fn list_project_members(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    query: Query<PageQuery>,
) -> ApiResult<Json<wire::Listing<wire::Member>>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Reader)
        .await?;
    let rows = farm.project_members(&access, query.page()).await?;
    let list = wire::Listing::page(rows, &query, |row| row.user.0, wire::Member::from);
    Ok(Json(list))
}

/// Gives a user a role in a project.
///
/// Status: 200; 400 if the role is invalid; 401 without a valid token; 403 if the caller's role is
/// below owner; 404 if the project or the user does not exist.
#[utoipa::path(
    tag = "projects",
    params(ProjectMemberPath),
    request_body = wire::NewRole,
    responses((status = 200, body = wire::Member))
)]
#[put("/projects/{ns}/{name}/members/{user}")]
pub(crate) async fn set_project_member(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectMemberPath>,
    body: JsonBody<wire::NewRole>,
) -> ApiResult<Json<wire::Member>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Owner)
        .await?;
    let member = farm
        .set_project_member(&access, &path.user, body.role)
        .await?;
    Ok(Json(member.into()))
}

/// Removes a member from a project.
///
/// Status: 204; 400 if a name in the path is invalid; 401 without a valid token; 403 if the
/// caller's role is below owner; 404 if the project or the member does not exist.
#[utoipa::path(tag = "projects", params(ProjectMemberPath), responses((status = 204)))]
#[delete("/projects/{ns}/{name}/members/{user}")]
pub(crate) async fn remove_project_member(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectMemberPath>,
) -> ApiResult<HttpResponse> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Owner)
        .await?;
    farm.remove_project_member(&access, &path.user).await?;
    Ok(HttpResponse::NoContent().finish())
}

//! Projects and their members.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, delete, get, patch, post, put};
use slipway_domain::{GitRef, Role};
use slipway_farm::{Farm, FarmError, ProjectSettings, ProjectUpdate};

use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::{ProjectMemberPath, ProjectPath};
use crate::wire::{self, PageQuery};

type Answer<T> = Result<T, ApiError>;

/// `GET /v1/projects`: the projects that the caller may see.
///
/// 200; 400 for a page that is none; 401.
#[utoipa::path(tag = "projects", params(PageQuery), responses((status = 200, body = wire::Listing<wire::Project>)))]
#[get("/projects")]
pub(crate) async fn list_projects(
    farm: Data<Farm>,
    caller: Caller,
    query: Query<PageQuery>,
) -> Answer<Json<wire::Listing<wire::Project>>> {
    let rows = farm.projects(&caller.0, query.page()).await?;
    let list = wire::Listing::page(rows, &query, |row| row.id.0, wire::Project::from);
    Ok(Json(list))
}

/// `POST /v1/projects`: makes a project, with a pipeline `default` that builds its one image.
///
/// 201; 400 for a body that is none, or a source that has a password in it; 401; 403 to lower
/// roles than maintainer of the namespace; 404 without such a namespace; 409 when the name is
/// taken.
#[utoipa::path(tag = "projects", request_body = wire::NewProject, responses((status = 201, body = wire::Project)))]
#[post("/projects")]
pub(crate) async fn create_project(
    farm: Data<Farm>,
    caller: Caller,
    body: Json<wire::NewProject>,
) -> Answer<HttpResponse> {
    let body = body.into_inner();
    let access = farm.namespace(&caller.0, &body.namespace, Role::Maintainer);
    let access = access.await?;
    let default_branch = match body.default_branch {
        Some(branch) => branch,
        None => "main".parse::<GitRef>().map_err(FarmError::from)?,
    };
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
    let project = farm.create_project(&caller.0, &access, &body.name, settings);
    let project = project.await?;
    Ok(HttpResponse::Created().json(wire::Project::from(project)))
}

/// `GET /v1/projects/{ns}/{name}`: one project.
///
/// 200; 400 for a name that is none; 401; 404 without such a project.
#[utoipa::path(tag = "projects", params(ProjectPath), responses((status = 200, body = wire::Project)))]
#[get("/projects/{ns}/{name}")]
pub(crate) async fn get_project(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> Answer<Json<wire::Project>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Guest);
    Ok(Json(access.await?.project().clone().into()))
}

/// `PATCH /v1/projects/{ns}/{name}`: changes a project's settings.
///
/// 200; 400 for a body that is none, or a source that has a password in it; 401; 403 to lower
/// roles than maintainer; 404 without such a project.
#[utoipa::path(tag = "projects", params(ProjectPath), request_body = wire::ProjectChange, responses((status = 200, body = wire::Project)))]
#[patch("/projects/{ns}/{name}")]
pub(crate) async fn update_project(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: Json<wire::ProjectChange>,
) -> Answer<Json<wire::Project>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    let body = body.into_inner();
    let change = ProjectUpdate {
        repo_url: body.repo_url,
        default_branch: body.default_branch,
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
    let project = farm.update_project(&access.await?, change).await?;
    Ok(Json(project.into()))
}

/// `DELETE /v1/projects/{ns}/{name}`: removes a project with its builds, traces and artifacts.
///
/// 204; 400 for a name that is none; 401; 403 to lower roles than owner; 404 without such a
/// project.
#[utoipa::path(tag = "projects", params(ProjectPath), responses((status = 204)))]
#[delete("/projects/{ns}/{name}")]
pub(crate) async fn delete_project(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> Answer<HttpResponse> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Owner);
    farm.delete_project(&access.await?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `GET /v1/projects/{ns}/{name}/members`: the members of a project itself, newest user first;
/// those of its namespace act in it too.
///
/// 200; 400 for a page that is none; 401; 404 without such a project.
#[utoipa::path(tag = "projects", params(ProjectPath, PageQuery), responses((status = 200, body = wire::Listing<wire::Member>)))]
#[get("/projects/{ns}/{name}/members")]
pub(crate) async fn list_project_members(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    query: Query<PageQuery>,
) -> Answer<Json<wire::Listing<wire::Member>>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Reader);
    let rows = farm.project_members(&access.await?, query.page()).await?;
    let list = wire::Listing::page(rows, &query, |row| row.user.0, wire::Member::from);
    Ok(Json(list))
}

/// `PUT /v1/projects/{ns}/{name}/members/{user}`: gives a user a role in a project.
///
/// 200; 400 for a role that is none; 401; 403 to lower roles than owner; 404 without such a
/// project or user.
#[utoipa::path(tag = "projects", params(ProjectMemberPath), request_body = wire::NewRole, responses((status = 200, body = wire::Member)))]
#[put("/projects/{ns}/{name}/members/{user}")]
pub(crate) async fn set_project_member(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectMemberPath>,
    body: Json<wire::NewRole>,
) -> Answer<Json<wire::Member>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Owner);
    let access = access.await?;
    let member = farm.set_project_member(&access, &path.user, body.role);
    Ok(Json(member.await?.into()))
}

/// `DELETE /v1/projects/{ns}/{name}/members/{user}`: ends a user's membership of a project.
///
/// 204; 400 for a name that is none; 401; 403 to lower roles than owner; 404 without such a
/// project or member.
#[utoipa::path(tag = "projects", params(ProjectMemberPath), responses((status = 204)))]
#[delete("/projects/{ns}/{name}/members/{user}")]
pub(crate) async fn remove_project_member(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectMemberPath>,
) -> Answer<HttpResponse> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Owner);
    let access = access.await?;
    farm.remove_project_member(&access, &path.user).await?;
    Ok(HttpResponse::NoContent().finish())
}

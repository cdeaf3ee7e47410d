//! Runners, and below them registration tokens, the queue and the state of the farm.

pub(crate) mod queue;
pub(crate) mod registration_tokens;
pub(crate) mod status;

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, delete, get, patch, post, put};
use slipway_domain::{Role, RunnerToken};
use slipway_farm::{Farm, Runner, RunnerRequest, RunnerUpdate};

use crate::auth::Caller;
use crate::convert;
use crate::error::ApiResult;
use crate::extractors::JsonBody;
use crate::wire::paths::{ProjectPath, ProjectRunnerPath, RunnerPath};
use crate::wire::{self, PageQuery};

/// Lists the runners of the projects that the caller may see, newest first; for administrators,
/// all runners.
///
/// Status: 200; 400 if a paging parameter is invalid; 401 without a valid token.
#[utoipa::path(
    tag = "runners",
    params(PageQuery),
    responses((status = 200, body = wire::Listing<wire::Runner>))
)]
#[get("/runners")]
pub(crate) async fn list_runners(
    farm: Data<Farm>,
    caller: Caller,
    query: Query<PageQuery>,
) -> ApiResult<Json<wire::Listing<wire::Runner>>> {
    let rows = farm.runners(&caller.0, query.page()).await?;
    let list = wire::Listing::page(rows, &query, |row| row.id.0, |row| response(&farm, row));
    Ok(Json(list))
}

/// Shows a runner.
///
/// Status: 200; 400 if the id is invalid; 401 without a valid token; 404 if the runner does not
/// exist.
#[utoipa::path(tag = "runners", params(RunnerPath), responses((status = 200, body = wire::Runner)))]
#[get("/runners/{id}")]
pub(crate) async fn get_runner(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<RunnerPath>,
) -> ApiResult<Json<wire::Runner>> {
    let runner = farm.runner(&caller.0, path.id, Role::Reader).await?;
    Ok(Json(response(&farm, runner)))
}

/// Creates a shared runner and its token.
///
/// The token is configured in a runner program, which then needs no registration. The response is
/// the only one that contains it.
///
/// Status: 201; 400 if the body is invalid, or the runner could never get a job; 401 without a
/// valid token; 403 if the caller is not an administrator.
#[utoipa::path(
    operation_id = "create_shared_runner",
    tag = "runners",
    request_body = wire::NewRunner,
    responses((status = 201, body = wire::CreatedRunner))
)]
#[post("/runners")]
pub(crate) async fn create_shared(
    farm: Data<Farm>,
    caller: Caller,
    body: JsonBody<wire::NewRunner>,
) -> ApiResult<HttpResponse> {
    let runner_and_token = farm
        .create_shared_runner(&caller.0, request(body.into_inner()))
        .await?;
    Ok(created(&farm, runner_and_token))
}

/// Creates a runner for one project and its token.
///
/// The token is configured in a runner program, which then needs no registration. The response is
/// the only one that contains it.
///
/// Status: 201; 400 if the body is invalid, or the runner could never get a job; 401 without a
/// valid token; 403 if the caller's role is below maintainer; 404 if the project does not exist.
#[utoipa::path(
    operation_id = "create_project_runner",
    tag = "runners",
    params(ProjectPath),
    request_body = wire::NewRunner,
    responses((status = 201, body = wire::CreatedRunner))
)]
#[post("/projects/{ns}/{name}/runners")]
pub(crate) async fn create_of_project(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: JsonBody<wire::NewRunner>,
) -> ApiResult<HttpResponse> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    let runner_and_token = farm
        .create_project_runner(&access, request(body.into_inner()))
        .await?;
    Ok(created(&farm, runner_and_token))
}

/// Lists the managers of a runner: the running programs that share its token.
///
/// Programs that send no system id cannot be told apart and are not listed.
///
/// Status: 200; 400 if the id is invalid; 401 without a valid token; 404 if the runner does not
/// exist.
#[utoipa::path(
    operation_id = "list_runner_managers",
    tag = "runners",
    params(RunnerPath),
    responses((status = 200, body = wire::Listing<wire::RunnerManager>))
)]
#[get("/runners/{id}/managers")]
pub(crate) async fn list_managers(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<RunnerPath>,
) -> ApiResult<Json<wire::Listing<wire::RunnerManager>>> {
    let runner = farm.runner(&caller.0, path.id, Role::Reader).await?;
    let managers = farm.managers_of(&runner).await?.into_iter();
    let items = managers.map(wire::RunnerManager::from).collect();
    Ok(Json(wire::Listing::whole(items)))
}

/// Changes or pauses a runner.
///
/// Status: 200; 400 if the body is invalid, or the runner could never get a job; 401 without a
/// valid token; 403 if the caller is not a maintainer of all projects that the runner serves; 404
/// if the runner does not exist.
#[utoipa::path(
    tag = "runners",
    params(RunnerPath),
    request_body = wire::RunnerChange,
    responses((status = 200, body = wire::Runner))
)]
#[patch("/runners/{id}")]
pub(crate) async fn update_runner(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<RunnerPath>,
    body: JsonBody<wire::RunnerChange>,
) -> ApiResult<Json<wire::Runner>> {
    let runner = farm.runner(&caller.0, path.id, Role::Maintainer).await?;
    let body = body.into_inner();
    let change = RunnerUpdate {
        description: body.description,
        tags: body.tags,
        run_untagged: body.run_untagged,
        locked: body.locked,
        paused: body.paused,
    };
    let runner = farm.update_runner(&runner, change).await?;
    Ok(Json(response(&farm, runner)))
}

/// Deletes a runner. Its token stops working.
///
/// Status: 204; 400 if the id is invalid; 401 without a valid token; 403 if the caller is not a
/// maintainer of all projects that the runner serves; 404 if the runner does not exist.
#[utoipa::path(tag = "runners", params(RunnerPath), responses((status = 204)))]
#[delete("/runners/{id}")]
pub(crate) async fn remove_runner(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<RunnerPath>,
) -> ApiResult<HttpResponse> {
    let runner = farm.runner(&caller.0, path.id, Role::Maintainer).await?;
    farm.unregister_runner(&runner).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Lists the runners that can take jobs of a project.
///
/// Status: 200; 400 if a name in the path is invalid; 401 without a valid token; 403 if the
/// caller's role is below maintainer; 404 if the project does not exist.
#[utoipa::path(
    operation_id = "list_project_runners",
    tag = "runners",
    params(ProjectPath),
    responses((status = 200, body = wire::Listing<wire::Runner>))
)]
#[get("/projects/{ns}/{name}/runners")]
pub(crate) async fn list_of_project(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> ApiResult<Json<wire::Listing<wire::Runner>>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    let rows = farm.runners_of(&access).await?;
    let items = rows.into_iter().map(|row| response(&farm, row)).collect();
    Ok(Json(wire::Listing::whole(items)))
}

/// Lets a runner of another project also serve this one.
///
/// Status: 200; 400 if the id is invalid; 401 without a valid token; 403 if the caller is not a
/// maintainer of both this project and one that the runner serves, or if the runner is shared or
/// locked; 404 if the project or the runner does not exist; 409 if the runner already serves the
/// project.
#[utoipa::path(
    operation_id = "enable_project_runner",
    tag = "runners",
    params(ProjectRunnerPath),
    responses((status = 200, body = wire::Runner))
)]
#[put("/projects/{ns}/{name}/runners/{id}")]
pub(crate) async fn enable(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectRunnerPath>,
) -> ApiResult<Json<wire::Runner>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    let runner = farm.enable_runner(&caller.0, &access, path.id).await?;
    Ok(Json(response(&farm, runner)))
}

/// Stops a runner from serving a project.
///
/// Status: 204; 400 if the id is invalid; 401 without a valid token; 403 if the caller's role is
/// below maintainer, or if it is the only project of the runner; 404 if the project does not
/// exist, or the runner does not serve it.
#[utoipa::path(operation_id = "disable_project_runner", tag = "runners", params(ProjectRunnerPath), responses((status = 204)))]
#[delete("/projects/{ns}/{name}/runners/{id}")]
pub(crate) async fn disable(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectRunnerPath>,
) -> ApiResult<HttpResponse> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    farm.disable_runner(&access, path.id).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn request(body: wire::NewRunner) -> RunnerRequest {
    RunnerRequest {
        description: body.description,
        tags: body.tags,
        run_untagged: body.run_untagged,
        locked: body.locked,
        paused: body.paused,
        ..RunnerRequest::default()
    }
}

fn created(farm: &Farm, (runner, token): (Runner, RunnerToken)) -> HttpResponse {
    HttpResponse::Created().json(wire::CreatedRunner {
        about: response(farm, runner),
        token: token.expose().to_owned(),
    })
}

fn response(farm: &Farm, runner: Runner) -> wire::Runner {
    let online = farm.is_online(&runner);
    convert::runner(runner, online)
}

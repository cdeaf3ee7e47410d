//! Runners, as those see them whose jobs they run.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, delete, get, patch, post, put};
use slipway_domain::{Role, RunnerToken};
use slipway_farm::{Farm, Runner, RunnerRequest, RunnerUpdate};

use crate::convert;
use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::{ProjectPath, ProjectRunnerPath, RunnerPath};
use crate::wire::{self, PageQuery};

type Answer<T> = Result<T, ApiError>;

/// `GET /v1/runners`: the runners of projects that the caller may see; all for administrators.
///
/// 200; 400 for a page that is none; 401.
#[utoipa::path(tag = "runners", params(PageQuery), responses((status = 200, body = wire::Listing<wire::Runner>)))]
#[get("/runners")]
pub(crate) async fn list_runners(
    farm: Data<Farm>,
    caller: Caller,
    query: Query<PageQuery>,
) -> Answer<Json<wire::Listing<wire::Runner>>> {
    let rows = farm.runners(&caller.0, query.page()).await?;
    let list = wire::Listing::page(rows, &query, |row| row.id.0, |row| shown(&farm, row));
    Ok(Json(list))
}

/// `GET /v1/runners/{id}`: one runner.
///
/// 200; 400 for an id that is none; 401; 404 without such a runner.
#[utoipa::path(tag = "runners", params(RunnerPath), responses((status = 200, body = wire::Runner)))]
#[get("/runners/{id}")]
pub(crate) async fn get_runner(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<RunnerPath>,
) -> Answer<Json<wire::Runner>> {
    let runner = farm.runner(&caller.0, path.id, Role::Reader).await?;
    Ok(Json(shown(&farm, runner)))
}

/// `POST /v1/runners`: makes a shared runner, for a program that is given its token. The token is told
/// this once.
///
/// 201; 400 for a body that is none, or a runner that would never get a job; 401; 403 to everybody but
/// administrators.
#[utoipa::path(tag = "runners", request_body = wire::NewRunner, responses((status = 201, body = wire::CreatedRunner)))]
#[post("/runners")]
pub(crate) async fn create_shared(
    farm: Data<Farm>,
    caller: Caller,
    body: Json<wire::NewRunner>,
) -> Answer<HttpResponse> {
    let made = farm.create_shared_runner(&caller.0, request(body.into_inner()));
    Ok(created(&farm, made.await?))
}

/// `POST /v1/projects/{ns}/{name}/runners`: makes a runner of one project, for a program that is given
/// its token. The token is told this once.
///
/// 201; 400 for a body that is none, or a runner that would never get a job; 401; 403 to lower roles
/// than maintainer; 404 without such a project.
#[utoipa::path(tag = "runners", params(ProjectPath), request_body = wire::NewRunner, responses((status = 201, body = wire::CreatedRunner)))]
#[post("/projects/{ns}/{name}/runners")]
pub(crate) async fn create_of_project(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: Json<wire::NewRunner>,
) -> Answer<HttpResponse> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    let access = access.await?;
    let made = farm.create_project_runner(&access, request(body.into_inner()));
    Ok(created(&farm, made.await?))
}

/// `GET /v1/runners/{id}/managers`: the processes that share a runner's token, as far as they tell
/// themselves apart.
///
/// 200; 400 for an id that is none; 401; 404 without such a runner.
#[utoipa::path(tag = "runners", params(RunnerPath), responses((status = 200, body = wire::Listing<wire::RunnerManager>)))]
#[get("/runners/{id}/managers")]
pub(crate) async fn list_managers(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<RunnerPath>,
) -> Answer<Json<wire::Listing<wire::RunnerManager>>> {
    let runner = farm.runner(&caller.0, path.id, Role::Reader).await?;
    let managers = farm.managers_of(&runner).await?.into_iter();
    let items = managers.map(wire::RunnerManager::from).collect();
    Ok(Json(wire::Listing::whole(items)))
}

/// `PATCH /v1/runners/{id}`: changes a runner, or pauses it.
///
/// 200; 400 for a body that is none, or a runner that would never get a job; 401; 403 to lower
/// roles than maintainer of all projects it serves; 404 without such a runner.
#[utoipa::path(tag = "runners", params(RunnerPath), request_body = wire::RunnerChange, responses((status = 200, body = wire::Runner)))]
#[patch("/runners/{id}")]
pub(crate) async fn update_runner(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<RunnerPath>,
    body: Json<wire::RunnerChange>,
) -> Answer<Json<wire::Runner>> {
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
    Ok(Json(shown(&farm, runner)))
}

/// `DELETE /v1/runners/{id}`: removes a runner: its token is worth nothing from now on.
///
/// 204; 400 for an id that is none; 401; 403 to lower roles than maintainer of all projects it
/// serves; 404 without such a runner.
#[utoipa::path(tag = "runners", params(RunnerPath), responses((status = 204)))]
#[delete("/runners/{id}")]
pub(crate) async fn remove_runner(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<RunnerPath>,
) -> Answer<HttpResponse> {
    let runner = farm.runner(&caller.0, path.id, Role::Maintainer).await?;
    farm.unregister_runner(&runner).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `GET /v1/projects/{ns}/{name}/runners`: the runners that may take a project's jobs.
///
/// 200; 400 for a name that is none; 401; 403 to lower roles than maintainer; 404 without such a
/// project.
#[utoipa::path(tag = "runners", params(ProjectPath), responses((status = 200, body = wire::Listing<wire::Runner>)))]
#[get("/projects/{ns}/{name}/runners")]
pub(crate) async fn list_of_project(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> Answer<Json<wire::Listing<wire::Runner>>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    let rows = farm.runners_of(&access.await?).await?;
    let items = rows.into_iter().map(|row| shown(&farm, row)).collect();
    Ok(Json(wire::Listing::whole(items)))
}

/// `PUT /v1/projects/{ns}/{name}/runners/{id}`: lets a runner serve a project too.
///
/// 200; 400 for an id that is none; 401; 403 to lower roles than maintainer of both the project and
/// one that the runner serves, and for a runner that is shared or locked; 404 without such a
/// project or runner; 409 when it serves the project already.
#[utoipa::path(tag = "runners", params(ProjectRunnerPath), responses((status = 200, body = wire::Runner)))]
#[put("/projects/{ns}/{name}/runners/{id}")]
pub(crate) async fn enable(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectRunnerPath>,
) -> Answer<Json<wire::Runner>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    let access = access.await?;
    let runner = farm.enable_runner(&caller.0, &access, path.id).await?;
    Ok(Json(shown(&farm, runner)))
}

/// `DELETE /v1/projects/{ns}/{name}/runners/{id}`: keeps a runner from serving a project.
///
/// 204; 400 for an id that is none; 401; 403 to lower roles than maintainer, and when it is the
/// runner's only project; 404 without such a project or a runner that serves it.
#[utoipa::path(tag = "runners", params(ProjectRunnerPath), responses((status = 204)))]
#[delete("/projects/{ns}/{name}/runners/{id}")]
pub(crate) async fn disable(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectRunnerPath>,
) -> Answer<HttpResponse> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    farm.disable_runner(&access.await?, path.id).await?;
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
        about: shown(farm, runner),
        token: token.expose().to_owned(),
    })
}

fn shown(farm: &Farm, runner: Runner) -> wire::Runner {
    let online = farm.is_online(&runner);
    convert::runner(runner, online)
}

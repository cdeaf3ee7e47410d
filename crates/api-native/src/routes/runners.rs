//! Runners, as those see them whose jobs they run.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, delete, get, patch, put};
use slipway_domain::Role;
use slipway_farm::{Farm, Runner, RunnerUpdate};

use crate::convert;
use crate::error::ApiError;
use crate::extract::{Caller, PageQuery};
use crate::paths::{ProjectPath, ProjectRunnerPath, RunnerPath};
use crate::wire;

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

fn shown(farm: &Farm, runner: Runner) -> wire::Runner {
    let online = farm.is_online(&runner);
    convert::runner(runner, online)
}

//! Runners, and the projects they serve.

use actix_web::{HttpResponse, web};
use slipway_domain::queue::RunnerScope;
use slipway_domain::{Role, RunnerId, TagSet};
use slipway_farm::{Farm, FarmError, Runner, RunnerUpdate};

use crate::builds_v3::auth::Call;
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageRequest;
use crate::builds_v3::{Answer, at, convert, read, wire};

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(at("/runners", "GET, HEAD").route(read().to(list)))
        .service(at("/runners/all", "GET, HEAD").route(read().to(list_all)))
        .service(
            at("/runners/{id}", "GET, HEAD, PUT, DELETE")
                .route(read().to(get))
                .route(web::put().to(update))
                .route(web::delete().to(delete)),
        )
        .service(
            at("/projects/{id}/runners", "GET, HEAD, POST")
                .route(read().to(list_of_project))
                .route(web::post().to(enable)),
        )
        .service(at("/projects/{id}/runners/{runner}", "DELETE").route(web::delete().to(disable)));
}

/// Answers with a runner and the projects that it serves.
async fn details(farm: &Farm, call: &Call, runner: &Runner) -> Answer {
    let served = farm.served_projects(&call.actor, runner).await?;
    Ok(HttpResponse::Ok().json(convert::runner_details(runner, &served)))
}

/// `GET /runners[?scope=]`: lists the runners of the projects that the caller is a master of.
///
/// 200; 400 if `page` or `scope` is invalid; 401.
async fn list(farm: web::Data<Farm>, call: Call) -> Answer {
    let runners = farm.maintained_runners(&call.actor).await?;
    runner_page(&farm, &call, runners, &["active", "paused", "online"])
}

/// `GET /runners/all[?scope=]`: lists all runners.
///
/// 200; 400 if `page` or `scope` is invalid; 401; 403 unless the caller is an administrator.
async fn list_all(farm: web::Data<Farm>, call: Call) -> Answer {
    let runners = farm.all_runners(&call.actor).await?;
    runner_page(&farm, &call, runners, &SCOPES)
}

/// `GET /projects/:id/runners[?scope=]`: lists the runners that may run a project's jobs.
///
/// 200; 400 if `page` or `scope` is invalid; 401; 403 for roles below master; 404 if the project
/// does not exist.
async fn list_of_project(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let access = call.project(&path, Role::Maintainer).await?;
    let runners = farm.runners_of(&access).await?;
    runner_page(&farm, &call, runners, &SCOPES)
}

/// All values of `scope`.
const SCOPES: [&str; 5] = ["specific", "shared", "active", "paused", "online"];

fn runner_page(farm: &Farm, call: &Call, mut runners: Vec<Runner>, scopes: &[&str]) -> Answer {
    if let Some(scope) = call.params.non_empty("scope") {
        if !scopes.contains(&scope) {
            return Err(V3Error::BadValue("scope"));
        }
        let is_shared = |runner: &Runner| runner.capabilities.scope == RunnerScope::Shared;
        runners.retain(|runner| match scope {
            "specific" => !is_shared(runner),
            "shared" => is_shared(runner),
            "active" => !runner.paused,
            "paused" => runner.paused,
            _ => farm.is_online(runner),
        });
    }
    let list: Vec<_> = runners.iter().map(wire::Runner::from).collect();
    Ok(PageRequest::from_call(call)?.answer_part(call, &list))
}

/// `GET /runners/:id`: one runner.
///
/// 200; 400 if the id is invalid; 401; 404 if the runner does not exist, or the caller is a master of
/// none of its projects, unless it is shared.
async fn get(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let runner = farm.visible_runner(&call.actor, runner_id(&path)?).await?;
    details(&farm, &call, &runner).await
}

/// `PUT /runners/:id`: changes `description`, `active`, `tag_list`, `run_untagged`, `locked`.
///
/// 200; 400 if a value is invalid, or the runner could never take a job; 401; 403 unless the caller
/// is a master of all projects that it serves; 404 if the runner does not exist or the caller may not
/// see it.
async fn update(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let runner = farm.editable_runner(&call.actor, runner_id(&path)?).await?;
    let params = &call.params;
    // Clients send one comma-separated list, or repeat the parameter.
    let lists = params.list("tag_list");
    let tags = if lists.is_empty() {
        None
    } else {
        let all = lists.iter().flat_map(|list| list.split(','));
        Some(TagSet::new(all).map_err(FarmError::from)?)
    };
    let update = RunnerUpdate {
        description: params.non_empty("description").map(str::to_owned),
        tags,
        run_untagged: params.boolean("run_untagged")?,
        locked: params.boolean("locked")?,
        paused: params.boolean("active")?.map(|active| !active),
    };
    let runner = farm.update_runner(&runner, update).await?;
    details(&farm, &call, &runner).await
}

/// `DELETE /runners/:id`: deletes a runner. Its token stops working at once.
///
/// 200 with the runner; 400 if the id is invalid; 401; 403 unless the caller is an administrator or
/// a master of the only project that it serves; 404 if the runner does not exist or the caller may not
/// see it.
async fn delete(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let runner = farm
        .deletable_runner(&call.actor, runner_id(&path)?)
        .await?;
    farm.unregister_runner(&runner).await?;
    Ok(HttpResponse::Ok().json(wire::Runner::from(&runner)))
}

/// `POST /projects/:id/runners`: enables the runner `runner_id` for a project.
///
/// 201 with the runner; 400 if the id is missing; 401; 403 unless the caller is a master of this
/// project, and if the runner is shared or locked; 404 if the project or runner does not exist, or the
/// caller may not see it; 409 if the runner already serves the project.
async fn enable(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let access = call.project(&path, Role::Maintainer).await?;
    call.params.required("runner_id")?;
    let id: Option<i64> = call.params.parsed("runner_id")?;
    let id = RunnerId(id.unwrap_or_default());
    let runner = farm.enable_runner(&call.actor, &access, id).await?;
    Ok(HttpResponse::Created().json(wire::Runner::from(&runner)))
}

/// `DELETE /projects/:id/runners/:runner_id`: disables a runner for a project.
///
/// 200 with the runner; 400 if the id is invalid; 401; 403 for roles below master, and if it is the
/// runner's only project; 404 if the project or runner does not exist.
async fn disable(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (id, runner) = path.into_inner();
    let access = call.project(&id, Role::Maintainer).await?;
    let runner = farm.disable_runner(&access, runner_id(&runner)?).await?;
    Ok(HttpResponse::Ok().json(wire::Runner::from(&runner)))
}

fn runner_id(text: &str) -> Result<RunnerId, V3Error> {
    text.parse().map_err(|_| V3Error::BadParameter("id"))
}

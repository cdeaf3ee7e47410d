//! Runners, and which projects they serve.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use slipway_domain::queue::RunnerScope;
use slipway_domain::{Role, RunnerId, TagSet};
use slipway_farm::{Farm, FarmError, Project, Runner, RunnerUpdate};

use crate::builds_v3::auth::Call;
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageOf;
use crate::builds_v3::{Answer, at, read, wire};
use crate::convert::timestamp;

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(at("/runners").route(read().to(list)))
        .service(at("/runners/all").route(read().to(list_all)))
        .service(
            at("/runners/{id}")
                .route(read().to(one))
                .route(web::put().to(change))
                .route(web::delete().to(remove)),
        )
        .service(
            at("/projects/{id}/runners")
                .route(read().to(list_of_project))
                .route(web::post().to(enable)),
        )
        .service(at("/projects/{id}/runners/{runner}").route(web::delete().to(disable)));
}

/// A runner with all that is told of it.
#[derive(Serialize)]
struct Details {
    #[serde(flatten)]
    runner: wire::Runner,
    tag_list: Vec<String>,
    run_untagged: bool,
    locked: bool,
    version: Option<String>,
    revision: Option<String>,
    platform: Option<String>,
    architecture: Option<String>,
    contacted_at: Option<String>,
    /// Always null: the farm keeps a runner's token as a hash, and could not show it.
    token: Option<String>,
    projects: Vec<ServedProject>,
}

/// A project that a runner serves.
#[derive(Serialize)]
struct ServedProject {
    id: i64,
    name: String,
    name_with_namespace: String,
    path: String,
    path_with_namespace: String,
}

impl From<&Project> for ServedProject {
    fn from(project: &Project) -> Self {
        Self {
            id: project.id.0,
            name: project.name.to_string(),
            name_with_namespace: format!("{} / {}", project.namespace_name, project.name),
            path: project.name.to_string(),
            path_with_namespace: project.path(),
        }
    }
}

async fn details(farm: &Farm, call: &Call, runner: &Runner) -> Answer {
    let served = farm.served_projects(&call.actor, runner).await?;
    let about = runner.about.clone();
    Ok(HttpResponse::Ok().json(Details {
        runner: runner.into(),
        tag_list: runner.capabilities.tags.iter().map(str::to_owned).collect(),
        run_untagged: runner.capabilities.run_untagged,
        locked: runner.locked,
        version: about.version,
        revision: about.revision,
        platform: about.platform,
        architecture: about.architecture,
        contacted_at: runner.contact_at.map(timestamp),
        token: None,
        projects: served.iter().map(ServedProject::from).collect(),
    }))
}

/// `GET /runners[?scope=]`: the runners of the projects that the caller is a master of.
///
/// 200; 400 for a page or a scope that is none; 401.
async fn list(farm: web::Data<Farm>, call: Call) -> Answer {
    let runners = farm.maintained_runners(&call.actor).await?;
    page(&farm, &call, runners, &["active", "paused", "online"])
}

/// `GET /runners/all[?scope=]`: all runners.
///
/// 200; 400 for a page or a scope that is none; 401; 403 to everybody but administrators.
async fn list_all(farm: web::Data<Farm>, call: Call) -> Answer {
    let runners = farm.all_runners(&call.actor).await?;
    page(&farm, &call, runners, &SCOPES)
}

/// `GET /projects/:id/runners[?scope=]`: the runners that may take a project's jobs.
///
/// 200; 400 for a page or a scope that is none; 401; 403 to lower roles than master; 404 without
/// such a project.
async fn list_of_project(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let access = call.project(&path, Role::Maintainer).await?;
    let runners = farm.runners_of(&access).await?;
    page(&farm, &call, runners, &SCOPES)
}

/// What a list of runners may be narrowed to.
const SCOPES: [&str; 5] = ["specific", "shared", "active", "paused", "online"];

fn page(farm: &Farm, call: &Call, mut runners: Vec<Runner>, scopes: &[&str]) -> Answer {
    if let Some(scope) = call.params.given("scope") {
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
    let shown: Vec<wire::Runner> = runners.iter().map(wire::Runner::from).collect();
    Ok(PageOf::of(call)?.cut(call, &shown))
}

/// `GET /runners/:id`: one runner.
///
/// 200; 400 for an id that is none; 401; 403 to those who are masters of no project that it
/// serves, unless it is shared; 404 without such a runner.
async fn one(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let runner = farm.runner_to_see(&call.actor, runner_id(&path)?).await?;
    details(&farm, &call, &runner).await
}

/// `PUT /runners/:id`: changes `description`, `active`, `tag_list`, `run_untagged`, `locked`.
///
/// 200; 400 for values that are none, or a runner that would never get a job; 401; 403 to those
/// who are not masters of all projects that it serves; 404 without such a runner.
async fn change(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let runner = farm
        .runner_to_change(&call.actor, runner_id(&path)?)
        .await?;
    let params = &call.params;
    let tags = params.list("tag_list");
    let tags = match tags.is_empty() {
        true => None,
        false => Some(
            TagSet::new(tags.iter().flat_map(|list| list.split(','))).map_err(FarmError::from)?,
        ),
    };
    let change = RunnerUpdate {
        description: params.given("description").map(str::to_owned),
        tags,
        run_untagged: params.boolean("run_untagged")?,
        locked: params.boolean("locked")?,
        paused: params.boolean("active")?.map(|active| !active),
    };
    let runner = farm.update_runner(&runner, change).await?;
    details(&farm, &call, &runner).await
}

/// `DELETE /runners/:id`: removes a runner: its token is worth nothing from now on.
///
/// 200 with the runner; 400 for an id that is none; 401; 403 to everybody but administrators and
/// masters of the one project that it serves; 404 without such a runner.
async fn remove(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let runner = farm
        .runner_to_remove(&call.actor, runner_id(&path)?)
        .await?;
    farm.unregister_runner(&runner).await?;
    Ok(HttpResponse::Ok().json(wire::Runner::from(&runner)))
}

/// `POST /projects/:id/runners`: lets the runner `runner_id` serve a project too.
///
/// 201 with the runner; 400 without an id; 401; 403 to lower roles than master of both the project
/// and one that the runner serves, and for a runner that is shared or locked; 404 without such a
/// project or runner; 409 when it serves the project already.
async fn enable(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let access = call.project(&path, Role::Maintainer).await?;
    call.params.required("runner_id")?;
    let id: Option<i64> = call.params.parsed("runner_id")?;
    let id = RunnerId(id.unwrap_or_default());
    let runner = farm.enable_runner(&call.actor, &access, id).await?;
    Ok(HttpResponse::Created().json(wire::Runner::from(&runner)))
}

/// `DELETE /projects/:id/runners/:runner_id`: keeps a runner from serving a project any longer.
///
/// 200 with the runner; 400 for an id that is none; 401; 403 to lower roles than master, and when
/// it is the runner's only project; 404 without such a project or runner.
async fn disable(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (id, runner) = path.into_inner();
    let access = call.project(&id, Role::Maintainer).await?;
    let runner = farm.disable_runner(&access, runner_id(&runner)?).await?;
    Ok(HttpResponse::Ok().json(wire::Runner::from(&runner)))
}

fn runner_id(text: &str) -> Result<RunnerId, V3Error> {
    text.parse().map_err(|_| V3Error::BadParameter("id"))
}

//! Pipelines: our builds.

use actix_web::{HttpResponse, web};
use slipway_domain::{BuildId, Role};
use slipway_farm::{Farm, FarmError, ListedBuild, ProjectAccess};

use crate::builds_v3::auth::Call;
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageOf;
use crate::builds_v3::wire::builds as build_wire;
use crate::builds_v3::{Answer, at, read};

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    let below = |path: &str| at(&format!("/projects/{{id}}/pipelines/{{pipeline_id}}{path}"));
    config
        .service(at("/projects/{id}/pipelines").route(read().to(list)))
        .service(below("").route(read().to(show)))
        .service(below("/retry").route(web::post().to(retry)))
        .service(below("/cancel").route(web::post().to(cancel)));
}

/// What a path names: a project and a pipeline of it.
type Named = web::Path<(String, String)>;

/// `GET /projects/:id/pipelines`: the pipelines of a project, newest first.
///
/// 200; 400 for a `page` that is none; 401; 403 without the right to read builds; 404 without such
/// a project.
async fn list(farm: web::Data<Farm>, call: Call, id: web::Path<String>) -> Answer {
    let page = PageOf::of(&call)?;
    let access = call.builds(&id, Role::Reader).await?;
    let (builds, total) = farm.build_list(&access, page.slice()).await?;
    let pipelines = builds
        .iter()
        .map(|build| build_wire::pipeline(&call, build));
    Ok(page.answer(&call, &pipelines.collect::<Vec<_>>(), total))
}

/// The pipeline that a path names, for a caller with the right to do something with it.
async fn named(
    farm: &Farm,
    call: &Call,
    (project, pipeline): &(String, String),
    need: Role,
) -> Result<(ProjectAccess, ListedBuild), V3Error> {
    let id = pipeline.parse::<BuildId>();
    let id = id.map_err(|_| V3Error::BadParameter("pipeline_id"))?;
    let access = call.builds(project, need).await?;
    let listed = farm.listed_build(&access, id).await?;
    Ok((access, listed))
}

/// `GET /projects/:id/pipelines/:pipeline_id`: one pipeline.
///
/// 200; 400 for an id that is none; 401; 403 without the right to read builds; 404 without such a
/// project, or such a pipeline in it.
async fn show(farm: web::Data<Farm>, call: Call, path: Named) -> Answer {
    let (_, listed) = named(&farm, &call, &path, Role::Reader).await?;
    Ok(HttpResponse::Ok().json(build_wire::pipeline(&call, &listed)))
}

/// `POST /projects/:id/pipelines/:pipeline_id/retry`: tries again what did not succeed.
///
/// 201, also when it is not over or all of it succeeded, and it stays what it is; 400 for an id
/// that is none; 401; 403 to lower roles than developer; 404 without such a project or pipeline; 409
/// when its sources are not kept any more.
async fn retry(farm: web::Data<Farm>, call: Call, path: Named) -> Answer {
    let (access, listed) = named(&farm, &call, &path, Role::Developer).await?;
    let retried = farm.retry_build(&call.actor, &access, &listed.build).await;
    unless_in_conflict(retried.map(drop))?;
    let listed = farm.listed_build(&access, listed.build.id).await?;
    Ok(HttpResponse::Created().json(build_wire::pipeline(&call, &listed)))
}

/// `POST /projects/:id/pipelines/:pipeline_id/cancel`: calls off what is not over.
///
/// 200, also when all of it is over, and it stays what it is; 400 for an id that is none; 401; 403
/// to lower roles than developer; 404 without such a project or pipeline.
async fn cancel(farm: web::Data<Farm>, call: Call, path: Named) -> Answer {
    let (access, listed) = named(&farm, &call, &path, Role::Developer).await?;
    let canceled = farm.cancel_build(&access, &listed.build).await;
    unless_in_conflict(canceled.map(drop))?;
    let listed = farm.listed_build(&access, listed.build.id).await?;
    Ok(HttpResponse::Ok().json(build_wire::pipeline(&call, &listed)))
}

/// A pipeline with which there is nothing to do is no error here.
fn unless_in_conflict(done: Result<(), FarmError>) -> Result<(), FarmError> {
    match done {
        Err(FarmError::Conflict(_)) => Ok(()),
        done => done,
    }
}

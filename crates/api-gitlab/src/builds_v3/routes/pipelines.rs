//! Pipelines: the farm's builds.

use actix_web::{HttpResponse, web};
use slipway_domain::{BuildId, Role};
use slipway_farm::{Farm, FarmError, ListedBuild, ProjectAccess};

use crate::builds_v3::auth::Call;
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageRequest;
use crate::builds_v3::{Answer, at, convert, read};

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    let below = |path: &str, methods| {
        at(
            &format!("/projects/{{id}}/pipelines/{{pipeline_id}}{path}"),
            methods,
        )
    };
    config
        .service(at("/projects/{id}/pipelines", "GET, HEAD").route(read().to(list)))
        .service(below("", "GET, HEAD").route(read().to(get)))
        .service(below("/retry", "POST").route(web::post().to(retry)))
        .service(below("/cancel", "POST").route(web::post().to(cancel)));
}

/// The project and the pipeline in a path.
type PipelinePath = web::Path<(String, String)>;

/// `GET /projects/:id/pipelines`: lists the pipelines of a project, newest first.
///
/// 200; 400 if `page` is invalid; 401; 403 without the right to read builds; 404 if the project
/// does not exist.
async fn list(farm: web::Data<Farm>, call: Call, id: web::Path<String>) -> Answer {
    let page = PageRequest::from_call(&call)?;
    let access = call.builds(&id, Role::Reader).await?;
    let part = farm.build_list(&access, page.slice()).await?;
    let base_url = call.base_url();
    let pipelines: Vec<_> = part
        .rows
        .iter()
        .map(|build| convert::pipeline(&base_url, build))
        .collect();
    Ok(page.answer_listed(&call, &pipelines, &part, |listed| listed.build.id.0))
}

/// The pipeline in a path, for a caller with the role `need` in its project.
async fn find_pipeline(
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
/// 200; 400 if the id is invalid; 401; 403 without the right to read builds; 404 if the project
/// does not exist or has no such pipeline.
async fn get(farm: web::Data<Farm>, call: Call, path: PipelinePath) -> Answer {
    let (_, listed) = find_pipeline(&farm, &call, &path, Role::Reader).await?;
    Ok(HttpResponse::Ok().json(convert::pipeline(&call.base_url(), &listed)))
}

/// `POST /projects/:id/pipelines/:pipeline_id/retry`: retries the builds that did not succeed.
///
/// 201, also if the pipeline has not finished or has succeeded, and does not change; 400 if the id
/// is invalid; 401; 403 for roles below developer; 404 if the project or pipeline does not exist;
/// 409 if its sources have been deleted.
async fn retry(farm: web::Data<Farm>, call: Call, path: PipelinePath) -> Answer {
    let (access, listed) = find_pipeline(&farm, &call, &path, Role::Developer).await?;
    let retried = farm.retry_build(&call.actor, &access, &listed.build).await;
    // A retry changes the pipeline, so that it is read again below.
    ignore_conflict(retried.map(drop))?;
    let listed = farm.listed_build(&access, listed.build.id).await?;
    Ok(HttpResponse::Created().json(convert::pipeline(&call.base_url(), &listed)))
}

/// `POST /projects/:id/pipelines/:pipeline_id/cancel`: cancels the builds that have not finished.
///
/// 200, also if all of them have finished, and nothing changes; 400 if the id is invalid; 401; 403
/// for roles below developer; 404 if the project or pipeline does not exist.
async fn cancel(farm: web::Data<Farm>, call: Call, path: PipelinePath) -> Answer {
    let (access, listed) = find_pipeline(&farm, &call, &path, Role::Developer).await?;
    let canceled = farm.cancel_build(&access, &listed.build).await;
    ignore_conflict(canceled.map(drop))?;
    let listed = farm.listed_build(&access, listed.build.id).await?;
    Ok(HttpResponse::Ok().json(convert::pipeline(&call.base_url(), &listed)))
}

/// GitLab answers success if there is nothing to retry or to cancel.
fn ignore_conflict(done: Result<(), FarmError>) -> Result<(), FarmError> {
    match done {
        Err(FarmError::Conflict(_)) => Ok(()),
        done => done,
    }
}

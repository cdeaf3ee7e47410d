//! Builds: the farm's jobs. Each attempt is a build of its own.

use actix_web::{HttpResponse, HttpResponseBuilder, web};
use slipway_domain::{JobId, JobState, Role, StateName};
use slipway_farm::{Farm, FarmError, Job, ListedJob, Part, ProjectAccess};

use crate::builds_v3::auth::Call;
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageRequest;
use crate::builds_v3::wire::BuildWithDownload;
use crate::builds_v3::{Answer, at, convert, read};
use crate::convert::status_name;

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    let below = |path: &str, methods| {
        at(
            &format!("/projects/{{id}}/builds/{{build_id}}{path}"),
            methods,
        )
    };
    config
        .service(at("/projects/{id}/builds", "GET, HEAD").route(read().to(list)))
        .service(below("", "GET, HEAD").route(read().to(get)))
        .service(below("/cancel", "POST").route(web::post().to(cancel)))
        .service(below("/retry", "POST").route(web::post().to(retry)))
        .service(below("/erase", "POST").route(web::post().to(erase)))
        .service(below("/play", "POST").route(web::post().to(play)))
        .service(below("/artifacts/keep", "POST").route(web::post().to(keep)));
}

/// The project and the build in a path.
pub(crate) type BuildPath = web::Path<(String, String)>;

/// The build id in a path.
///
/// # Errors
/// `build_id is invalid` if it is not a number; `NotFound` for numbers outside the range of ids.
fn build_id(text: &str) -> Result<JobId, V3Error> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(V3Error::BadParameter("build_id"));
    }
    // A number that is too large, or negative, is an id that no build has: 404 and not 400.
    text.parse().map_err(|_| V3Error::NotFound)
}

/// The states in the parameter `scope`; empty if jobs of all states are requested.
///
/// # Errors
/// `scope does not have a valid value` if any value is not a status.
pub(crate) fn requested_states(call: &Call) -> Result<Vec<StateName>, V3Error> {
    let mut states = Vec::new();
    for name in call.params.list("scope") {
        if name.is_empty() {
            continue;
        }
        // Several states may share a status: manual jobs are shown as skipped.
        let before = states.len();
        let all = StateName::ALL.iter().copied();
        states.extend(all.filter(|state| status_name(*state) == name));
        if states.len() == before {
            return Err(V3Error::BadValue("scope"));
        }
    }
    Ok(states)
}

/// `GET /projects/:id/builds`: lists the builds of a project, newest first.
///
/// 200; 400 if `scope` or `page` is invalid; 401; 403 without the right to read builds; 404 if the
/// project does not exist.
async fn list(farm: web::Data<Farm>, call: Call, id: web::Path<String>) -> Answer {
    let (page, states) = (PageRequest::from_call(&call)?, requested_states(&call)?);
    let access = call.builds(&id, Role::Reader).await?;
    let part = farm.job_list(&access, states, page.slice()).await?;
    Ok(build_page(&call, page, &part))
}

/// Answers with a page of builds.
pub(crate) fn build_page(call: &Call, page: PageRequest, part: &Part<ListedJob>) -> HttpResponse {
    let base_url = call.base_url();
    let builds: Vec<_> = part
        .rows
        .iter()
        .map(|job| convert::build(&base_url, job))
        .collect();
    page.answer_listed(call, &builds, part, |listed| listed.job.id.0)
}

/// The build in a path, for a caller with the role `need` in its project.
pub(crate) async fn find_build(
    farm: &Farm,
    call: &Call,
    (project, build): &(String, String),
    need: Role,
) -> Result<(ProjectAccess, ListedJob), V3Error> {
    let id = build_id(build)?;
    let access = call.builds(project, need).await?;
    let listed = farm.listed_job(&access, id).await?;
    Ok((access, listed))
}

/// Answers with the current state of a build: 200 or 201, whichever GitLab answers for the action.
async fn build_response(
    mut response: HttpResponseBuilder,
    farm: &Farm,
    call: &Call,
    access: &ProjectAccess,
    job: &Job,
) -> Answer {
    let listed = farm.listed_job(access, job.id).await?;
    Ok(response.json(convert::build(&call.base_url(), &listed)))
}

/// [`build_response`] with a `download_url`, which GitLab up to 8.8 and its documents show for erase
/// and keep.
async fn with_download_url(
    mut response: HttpResponseBuilder,
    farm: &Farm,
    call: &Call,
    access: &ProjectAccess,
    job: &Job,
) -> Answer {
    let listed = farm.listed_job(access, job.id).await?;
    Ok(response.json(BuildWithDownload {
        build: convert::build(&call.base_url(), &listed),
        download_url: None,
    }))
}

/// `GET /projects/:id/builds/:build_id`: one build.
///
/// 200; 400 if the id is invalid; 401; 403 without the right to read builds; 404 if the project
/// does not exist or has no such build.
async fn get(farm: web::Data<Farm>, call: Call, path: BuildPath) -> Answer {
    let (_, listed) = find_build(&farm, &call, &path, Role::Reader).await?;
    Ok(HttpResponse::Ok().json(convert::build(&call.base_url(), &listed)))
}

/// `POST /projects/:id/builds/:build_id/cancel`: cancels a build.
///
/// 201, also if the build has finished or is skipped, and does not change; 400 if the id is
/// invalid; 401; 403 for roles below developer; 404 if the project or build does not exist.
async fn cancel(farm: web::Data<Farm>, call: Call, path: BuildPath) -> Answer {
    let (access, listed) = find_build(&farm, &call, &path, Role::Developer).await?;
    // Manual jobs are shown as skipped until they are played, and GitLab does not cancel skipped
    // builds.
    if listed.job.state != JobState::Manual {
        match farm.cancel_job(&access, &listed.job).await {
            // GitLab answers the cancel of a finished build as a success.
            Ok(_) | Err(FarmError::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    build_response(HttpResponse::Created(), &farm, &call, &access, &listed.job).await
}

/// `POST /projects/:id/builds/:build_id/retry`: retries a build as a new one. If it was
/// retried before, its latest attempt is retried.
///
/// 201 with the new build; 400 if the id is invalid; 401; 403 for roles below developer, or if the
/// build has not succeeded, failed or been canceled; 404 if the project or build does not exist;
/// 409 if its sources have been deleted.
async fn retry(farm: web::Data<Farm>, call: Call, path: BuildPath) -> Answer {
    let (access, listed) = find_build(&farm, &call, &path, Role::Developer).await?;
    match farm.retry_latest(&call.actor, &access, &listed.job).await {
        Ok(job) => build_response(HttpResponse::Created(), &farm, &call, &access, &job).await,
        Err(error) => Err(forbidden_by_state(error, "Build is not retryable")),
    }
}

/// `POST /projects/:id/builds/:build_id/erase`: deletes the trace and the artifacts of a build.
///
/// 201; 400 if the id is invalid; 401; 403 for roles below developer, or if the build has not
/// finished or has neither; 404 if the project or build does not exist.
async fn erase(farm: web::Data<Farm>, call: Call, path: BuildPath) -> Answer {
    let (access, listed) = find_build(&farm, &call, &path, Role::Developer).await?;
    match farm.erase_job(&call.actor, &access, &listed.job).await {
        Ok(job) => with_download_url(HttpResponse::Created(), &farm, &call, &access, &job).await,
        Err(error) => Err(forbidden_by_state(error, "Build is not erasable!")),
    }
}

/// GitLab answers an action that the build's state does not allow with 403 and a fixed reason.
fn forbidden_by_state(error: FarmError, reason: &'static str) -> V3Error {
    match error {
        FarmError::Conflict(_) | FarmError::Refused(_) => V3Error::Forbidden(reason),
        error => error.into(),
    }
}

/// `POST /projects/:id/builds/:build_id/play`: starts a manual build.
///
/// 200; 400 if the id is invalid, or the build is not manual or was played before; 401; 403 for
/// roles below developer; 404 if the project or build does not exist.
async fn play(farm: web::Data<Farm>, call: Call, path: BuildPath) -> Answer {
    let (access, listed) = find_build(&farm, &call, &path, Role::Developer).await?;
    match farm.play_job(&call.actor, &access, &listed.job).await {
        Ok(job) => build_response(HttpResponse::Ok(), &farm, &call, &access, &job).await,
        Err(FarmError::Refused(_)) => Err(V3Error::bad_request("\"Unplayable Job\" not given")),
        Err(error) => Err(error.into()),
    }
}

/// `POST /projects/:id/builds/:build_id/artifacts/keep`: removes the expiry of a build's
/// artifacts.
///
/// 200; 400 if the id is invalid; 401; 403 for roles below developer; 404 if the project or build
/// does not exist, or has no artifacts that have not expired.
async fn keep(farm: web::Data<Farm>, call: Call, path: BuildPath) -> Answer {
    let (access, listed) = find_build(&farm, &call, &path, Role::Developer).await?;
    let archive = listed.archive.as_ref().ok_or(V3Error::NotFound)?;
    farm.keep_artifact(&access, archive.id).await?;
    with_download_url(HttpResponse::Ok(), &farm, &call, &access, &listed.job).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_ids_are_numbers() {
        assert!(matches!(build_id("8"), Ok(JobId(8))));
        assert!(matches!(build_id("-8"), Ok(JobId(-8))));
        let too_large = "9".repeat(30);
        assert!(matches!(build_id(&too_large), Err(V3Error::NotFound)));
        for bad in ["abc", "", "-", "8.5", "+8", "8 "] {
            let refused = matches!(build_id(bad), Err(V3Error::BadParameter("build_id")));
            assert!(refused, "{bad}");
        }
    }
}

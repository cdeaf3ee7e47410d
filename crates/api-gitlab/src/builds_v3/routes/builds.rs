//! Builds: our jobs, each attempt by itself.

use actix_web::{HttpResponse, web};
use slipway_domain::{JobId, JobState, Role, StateName};
use slipway_farm::{Farm, FarmError, Job, JobFilter, ListedJob, ProjectAccess};

use crate::builds_v3::auth::Call;
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageOf;
use crate::builds_v3::wire::builds as build_wire;
use crate::builds_v3::{Answer, at, read};
use crate::convert::status_word;

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    let below = |path: &str| at(&format!("/projects/{{id}}/builds/{{build_id}}{path}"));
    config
        .service(at("/projects/{id}/builds").route(read().to(list)))
        .service(below("").route(read().to(show)))
        .service(below("/cancel").route(web::post().to(cancel)))
        .service(below("/retry").route(web::post().to(retry)))
        .service(below("/erase").route(web::post().to(erase)))
        .service(below("/play").route(web::post().to(play)))
        .service(below("/artifacts/keep").route(web::post().to(keep)));
}

/// What a path names: a project and a build of it.
pub(crate) type Named = web::Path<(String, String)>;

/// The id in a path.
///
/// # Errors
/// `build_id is invalid` for what is no number; a number that no build can have is not found.
pub(crate) fn build_id(text: &str) -> Result<JobId, V3Error> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(V3Error::BadParameter("build_id"));
    }
    text.parse().map_err(|_| V3Error::NotFound)
}

/// The states that the parameter `scope` asks for; none when it asks for all.
///
/// # Errors
/// `scope does not have a valid value`, if only one of them is no status.
pub(crate) fn scope(call: &Call) -> Result<Vec<StateName>, V3Error> {
    let mut states = Vec::new();
    for word in call.params.list("scope") {
        if word.is_empty() {
            continue;
        }
        let before = states.len();
        let all = StateName::ALL.iter().copied();
        states.extend(all.filter(|state| status_word(*state) == word));
        if states.len() == before {
            return Err(V3Error::BadValue("scope"));
        }
    }
    Ok(states)
}

/// `GET /projects/:id/builds`: the builds of a project, newest first.
///
/// 200; 400 for a `scope` or a `page` that is none; 401; 403 without the right to read builds; 404
/// without such a project.
async fn list(farm: web::Data<Farm>, call: Call, id: web::Path<String>) -> Answer {
    let (page, states) = (PageOf::of(&call)?, scope(&call)?);
    let access = call.builds(&id, Role::Reader).await?;
    let filter = JobFilter {
        states,
        ..JobFilter::default()
    };
    let (jobs, total) = farm.job_list(&access, filter, page.slice()).await?;
    Ok(shown(&call, page, &jobs, total))
}

/// A page of builds.
pub(crate) fn shown(call: &Call, page: PageOf, jobs: &[ListedJob], total: u64) -> HttpResponse {
    let builds: Vec<_> = jobs
        .iter()
        .map(|job| build_wire::build(call, job))
        .collect();
    page.answer(call, &builds, total)
}

/// The build that a path names, for a caller with the right to do something with it.
pub(crate) async fn named(
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

/// A build as it is now.
async fn now(farm: &Farm, call: &Call, access: &ProjectAccess, job: &Job) -> Answer {
    let listed = farm.listed_job(access, job.id).await?;
    Ok(HttpResponse::Ok().json(build_wire::build(call, &listed)))
}

/// [`now`], with the status of something that was made.
async fn made(farm: &Farm, call: &Call, access: &ProjectAccess, job: &Job) -> Answer {
    let listed = farm.listed_job(access, job.id).await?;
    Ok(HttpResponse::Created().json(build_wire::build(call, &listed)))
}

/// `GET /projects/:id/builds/:build_id`: one build.
///
/// 200; 400 for an id that is none; 401; 403 without the right to read builds; 404 without such a
/// project, or such a build in it.
async fn show(farm: web::Data<Farm>, call: Call, path: Named) -> Answer {
    let (_, listed) = named(&farm, &call, &path, Role::Reader).await?;
    Ok(HttpResponse::Ok().json(build_wire::build(&call, &listed)))
}

/// `POST /projects/:id/builds/:build_id/cancel`: calls a build off.
///
/// 201, also when it is over, or skipped, and stays what it is; 400 for an id that is none; 401;
/// 403 to lower roles than developer; 404 without such a project or build.
async fn cancel(farm: web::Data<Farm>, call: Call, path: Named) -> Answer {
    let (access, listed) = named(&farm, &call, &path, Role::Developer).await?;
    // A build that waits for somebody to start it is shown as skipped, and those are not canceled.
    if listed.job.state != JobState::Manual {
        match farm.cancel_job(&access, &listed.job).await {
            Ok(_) | Err(FarmError::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    made(&farm, &call, &access, &listed.job).await
}

/// `POST /projects/:id/builds/:build_id/retry`: makes a new build like it.
///
/// 201 with the new build; 400 for an id that is none; 401; 403 to lower roles than developer, or
/// when it did not end in success, in failure or by being canceled; 404 without such a project or
/// build; 409 when its sources are not kept any more. Of a build that was retried before, the latest attempt is what is tried again.
async fn retry(farm: web::Data<Farm>, call: Call, path: Named) -> Answer {
    let (access, listed) = named(&farm, &call, &path, Role::Developer).await?;
    match farm.retry_latest(&call.actor, &access, &listed.job).await {
        Ok(job) => made(&farm, &call, &access, &job).await,
        Err(error) => Err(in_its_state(error, "Build is not retryable")),
    }
}

/// `POST /projects/:id/builds/:build_id/erase`: removes the trace and the artifacts of a build.
///
/// 201; 400 for an id that is none; 401; 403 to lower roles than developer, or when it is not
/// over or has neither of the two; 404 without such a project or build.
async fn erase(farm: web::Data<Farm>, call: Call, path: Named) -> Answer {
    let (access, listed) = named(&farm, &call, &path, Role::Developer).await?;
    match farm.erase_job(&call.actor, &access, &listed.job).await {
        Ok(job) => made(&farm, &call, &access, &job).await,
        Err(error) => Err(in_its_state(error, "Build is not erasable!")),
    }
}

/// What forbids something to a build as it is.
fn in_its_state(error: FarmError, reason: &'static str) -> V3Error {
    match error {
        FarmError::Conflict(_) | FarmError::Refused(_) => V3Error::Forbidden(reason),
        error => error.into(),
    }
}

/// `POST /projects/:id/builds/:build_id/play`: starts a build that waits for that.
///
/// 200; 400 for an id that is none, or a build that does not wait for that; 401; 403 to lower
/// roles than developer; 404 without such a project or build.
async fn play(farm: web::Data<Farm>, call: Call, path: Named) -> Answer {
    let (access, listed) = named(&farm, &call, &path, Role::Developer).await?;
    match farm.play_job(&call.actor, &access, &listed.job).await {
        Ok(job) => now(&farm, &call, &access, &job).await,
        Err(FarmError::Refused(_)) => Err(V3Error::bad_request("\"Unplayable Job\" not given")),
        Err(error) => Err(error.into()),
    }
}

/// `POST /projects/:id/builds/:build_id/artifacts/keep`: keeps artifacts that would expire.
///
/// 200; 400 for an id that is none; 401; 403 to lower roles than developer; 404 without such a
/// project or build, or artifacts of it that have not expired.
async fn keep(farm: web::Data<Farm>, call: Call, path: Named) -> Answer {
    let (access, listed) = named(&farm, &call, &path, Role::Developer).await?;
    let archive = listed.archive.as_ref().ok_or(V3Error::NotFound)?;
    farm.keep_artifact(&access, archive.id).await?;
    now(&farm, &call, &access, &listed.job).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_number() {
        assert!(matches!(build_id("8"), Ok(JobId(8))));
        assert!(matches!(build_id("-8"), Ok(JobId(-8))));
        let beyond = "9".repeat(30);
        assert!(matches!(build_id(&beyond), Err(V3Error::NotFound)));
        for bad in ["abc", "", "-", "8.5", "+8", "8 "] {
            let refused = matches!(build_id(bad), Err(V3Error::BadParameter("build_id")));
            assert!(refused, "{bad}");
        }
    }
}

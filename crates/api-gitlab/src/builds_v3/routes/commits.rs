//! Commits, and the builds of a commit.

use actix_web::{HttpResponse, web};
use slipway_domain::{CommitSha, Role};
use slipway_farm::{BuildFilter, CommitFilter, Farm, FarmError, Page, Part, ProjectAccess};

use super::builds::{build_page, requested_states};
use crate::builds_v3::auth::Call;
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageRequest;
use crate::builds_v3::{Answer, at, convert, read};

/// Adds the routes. `sha` may also be a branch name, with slashes in it.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    let below = |path: &str, methods| {
        let commit = "/projects/{id}/repository/commits/{sha:.+}";
        at(&format!("{commit}{path}"), methods)
    };
    config
        .service(below("/builds", "GET, HEAD").route(read().to(builds)))
        .service(below("/statuses", "GET, HEAD").route(read().to(statuses)))
        .service(below("", "GET, HEAD").route(read().to(get)));
}

/// The project in a path, and the commit by its sha, branch or tag.
type CommitPath = web::Path<(String, String)>;

/// `GET /projects/:id/repository/commits/:sha/builds`: lists the builds of a commit, newest first.
/// As in GitLab, the list is empty unless the commit is named by its full sha.
///
/// 200; 400 if `scope` or `page` is invalid; 401; 403 without the right to read builds; 404 if the
/// project or commit does not exist.
async fn builds(farm: web::Data<Farm>, call: Call, path: CommitPath) -> Answer {
    let (page, states) = (PageRequest::from_call(&call)?, requested_states(&call)?);
    let (project, reference) = path.into_inner();
    let access = call.builds(&project, Role::Reader).await?;
    let Some(sha) = full_sha(&farm, &access, &reference).await? else {
        let none = Part {
            rows: Vec::new(),
            has_more: false,
            total: Some(0),
        };
        return Ok(build_page(&call, page, &none));
    };
    let filter = CommitFilter {
        sha,
        states,
        git_ref: None,
        stage: None,
        name: None,
        latest: false,
    };
    let part = farm.commit_job_list(&access, filter, page.slice()).await?;
    Ok(build_page(&call, page, &part))
}

/// The sha of a commit; `None` if `reference` is not its full sha.
///
/// # Errors
/// `NotFound` if the commit does not exist.
async fn full_sha(
    farm: &Farm,
    access: &ProjectAccess,
    reference: &str,
) -> Result<Option<CommitSha>, V3Error> {
    let sha = farm.sha_of(access, reference).await?;
    let is_full = sha.as_str().eq_ignore_ascii_case(reference);
    if !farm.has_commit(access, &sha).await? {
        return Err(V3Error::NotFound);
    }
    Ok(is_full.then_some(sha))
}

/// `GET /projects/:id/repository/commits/:sha`: one commit.
///
/// 200; 401; 403 without the right to see the source; 404 if the project or commit does not exist;
/// 503 if the commit was built, but its repository cannot be read now.
async fn get(farm: web::Data<Farm>, call: Call, path: CommitPath) -> Answer {
    let (project, reference) = path.into_inner();
    let access = call.project(&project, Role::Guest).await?;
    let sha = farm.sha_of(&access, &reference).await?;
    let commit = farm.commit(&access, &sha).await?;
    let newest = Page {
        before: None,
        limit: 1,
    };
    let filter = BuildFilter {
        sha: Some(sha),
        ..BuildFilter::default()
    };
    let builds = match farm.builds(&access, filter, newest).await {
        // A caller who may see the source but no builds gets the commit without a status.
        Err(FarmError::Forbidden(_)) => Vec::new(),
        builds => builds?,
    };
    let state = builds.first().map(|build| build.state);
    Ok(HttpResponse::Ok().json(convert::commit_details(&commit, state)))
}

/// `GET /projects/:id/repository/commits/:sha/statuses`: lists the results of a commit's builds,
/// newest first. Only the latest of each name, unless `all` is true. `ref`, `stage` and `name`
/// filter the list.
///
/// 200; 400 if `all` or `page` is invalid; 401; 403 without the right to read builds; 404 if the
/// project or commit does not exist.
async fn statuses(farm: web::Data<Farm>, call: Call, path: CommitPath) -> Answer {
    let page = PageRequest::from_call(&call)?;
    let latest = !call.params.boolean("all")?.unwrap_or(false);
    let (project, reference) = path.into_inner();
    let access = call.builds(&project, Role::Reader).await?;
    let sha = farm.sha_of(&access, &reference).await?;
    if !farm.has_commit(&access, &sha).await? {
        return Err(V3Error::NotFound);
    }
    let given = |name: &str| call.params.non_empty(name).map(str::to_owned);
    let filter = CommitFilter {
        sha,
        states: Vec::new(),
        git_ref: given("ref"),
        stage: given("stage"),
        name: given("name"),
        latest,
    };
    let part = farm.commit_job_list(&access, filter, page.slice()).await?;
    let base_url = call.base_url();
    let statuses: Vec<_> = part
        .rows
        .iter()
        .map(|job| convert::commit_status(&base_url, job))
        .collect();
    Ok(page.answer_listed(&call, &statuses, &part, |listed| listed.job.id.0))
}

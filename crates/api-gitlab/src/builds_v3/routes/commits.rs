//! Commits, with the builds there are of them.

use actix_web::{HttpResponse, web};
use slipway_domain::{CommitSha, Role};
use slipway_farm::{BuildFilter, Farm, FarmError, JobFilter, Page, ProjectAccess};

use super::builds::{scope, shown};
use crate::builds_v3::auth::Call;
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageOf;
use crate::builds_v3::wire::builds as build_wire;
use crate::builds_v3::{Answer, at, read};

/// Adds the routes. A branch has slashes in its name, raw or encoded.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    let below = |path: &str| {
        let commit = "/projects/{id}/repository/commits/{sha:.+}";
        at(&format!("{commit}{path}"))
    };
    config
        .service(below("/builds").route(read().to(builds)))
        .service(below("/statuses").route(read().to(statuses)))
        .service(below("").route(read().to(show)));
}

/// What a path names: a project, and a commit of it by sha, branch or tag.
type Named = web::Path<(String, String)>;

/// `GET /projects/:id/repository/commits/:sha/builds`: the builds of a commit, newest first. Only
/// a full sha finds any.
///
/// 200, with nothing for a commit without builds; 400 for a `scope` or a `page` that is none; 401;
/// 403 without the right to read builds; 404 without such a project or commit.
async fn builds(farm: web::Data<Farm>, call: Call, path: Named) -> Answer {
    let (page, states) = (PageOf::of(&call)?, scope(&call)?);
    let (project, reference) = path.into_inner();
    let access = call.builds(&project, Role::Reader).await?;
    let Some(sha) = full_sha(&farm, &access, &reference).await? else {
        return Ok(shown(&call, page, &[], 0));
    };
    let filter = JobFilter {
        states,
        sha: Some(sha),
        ..JobFilter::default()
    };
    let (jobs, total) = farm.job_list(&access, filter, page.slice()).await?;
    Ok(shown(&call, page, &jobs, total))
}

/// The sha of a commit that there is; `None` when it is named in another way.
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
/// 200; 401; 403 without the right to see the source; 404 without such a project or commit; 503
/// when something was built of it, but its repository cannot be read now.
async fn show(farm: web::Data<Farm>, call: Call, path: Named) -> Answer {
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
        // Who may see the source but no builds is told nothing of these.
        Err(FarmError::Forbidden(_)) => Vec::new(),
        builds => builds?,
    };
    let state = builds.first().map(|build| build.state);
    Ok(HttpResponse::Ok().json(build_wire::commit_detail(&commit, state)))
}

/// `GET /projects/:id/repository/commits/:sha/statuses`: what the builds of a commit say of it,
/// newest first: the latest of each name unless `all` is true, and only those of `ref`, `stage`
/// and `name` when these are given.
///
/// 200; 400 for an `all` or a `page` that is none; 401; 403 without the right to read builds; 404
/// without such a project or commit.
async fn statuses(farm: web::Data<Farm>, call: Call, path: Named) -> Answer {
    let page = PageOf::of(&call)?;
    let latest = !call.params.boolean("all")?.unwrap_or(false);
    let (project, reference) = path.into_inner();
    let access = call.builds(&project, Role::Reader).await?;
    let sha = farm.sha_of(&access, &reference).await?;
    if !farm.has_commit(&access, &sha).await? {
        return Err(V3Error::NotFound);
    }
    let given = |name: &str| call.params.given(name).map(str::to_owned);
    let filter = JobFilter {
        states: Vec::new(),
        sha: Some(sha),
        git_ref: given("ref"),
        stage: given("stage"),
        name: given("name"),
        latest,
    };
    let (jobs, total) = farm.job_list(&access, filter, page.slice()).await?;
    let statuses = jobs.iter().map(|job| build_wire::commit_status(&call, job));
    Ok(page.answer(&call, &statuses.collect::<Vec<_>>(), total))
}

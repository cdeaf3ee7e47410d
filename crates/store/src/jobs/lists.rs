//! Lists of jobs and builds for display, with everything that is shown for each.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::{BuildId, Commit, CommitSha, JobId, ProjectId, RunnerId, StateName, UserId};

use crate::builds::commits;
use crate::builds::queries as builds;
use crate::builds::row::Build;
use crate::engine::connection::Conn;
use crate::engine::page::{Slice, rows};
use crate::error::{OrMissing, StoreError};
use crate::jobs::artifacts::{self, Artifact};
use crate::jobs::queries::collect;
use crate::jobs::row::{Job, JobRow};
use crate::people::users::{self, User};
use crate::runners::queries as runners;
use crate::runners::row::Runner;
use crate::schema::{builds as build_table, jobs as job_table, users as user_table};

/// Which jobs of a project to list. An empty or absent member does not restrict the list.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    pub states: Vec<StateName>,
    pub sha: Option<CommitSha>,
    /// The branch or tag of the build.
    pub git_ref: Option<String>,
    pub stage: Option<String>,
    pub name: Option<String>,
    /// Only the latest attempts.
    pub latest: bool,
}

/// A job with everything that is shown for it.
#[derive(Clone, Debug)]
pub struct ListedJob {
    pub job: Job,
    pub build: Build,
    /// Absent until the commit's metadata has been fetched.
    pub commit: Option<Commit>,
    /// Who created the job.
    pub user: Option<User>,
    /// The runner that runs or ran it.
    pub runner: Option<Runner>,
    /// Its archive, unless that has expired.
    pub archive: Option<Artifact>,
}

/// A build with everything that is shown for it.
#[derive(Clone, Debug)]
pub struct ListedBuild {
    pub build: Build,
    /// Absent until the commit's metadata has been fetched.
    pub commit: Option<Commit>,
    /// Who created the build.
    pub user: Option<User>,
}

/// A slice of a project's jobs, newest first, and how many there are in all.
pub fn slice_of_project(
    conn: &mut Conn,
    project: ProjectId,
    filter: &JobFilter,
    slice: Slice,
) -> Result<(Vec<Job>, u64), StoreError> {
    let builds = builds_of(conn, project, filter)?;
    // The query is built twice, because a boxed query cannot be cloned.
    let query = || {
        let mut query = job_table::table
            .filter(job_table::project_id.eq(project.0))
            .into_boxed::<<Conn as diesel::Connection>::Backend>();
        if !filter.states.is_empty() {
            let words = filter.states.iter().map(|state| state.as_str());
            query = query.filter(job_table::state.eq_any(words.collect::<Vec<_>>()));
        }
        if let Some(builds) = &builds {
            query = query.filter(job_table::build_id.eq_any(builds.clone()));
        }
        if let Some(stage) = &filter.stage {
            query = query.filter(job_table::stage.eq(stage.clone()));
        }
        if let Some(name) = &filter.name {
            query = query.filter(job_table::name.eq(name.clone()));
        }
        if filter.latest {
            query = query.filter(job_table::superseded.eq(false));
        }
        query
    };
    let total: i64 = query().count().get_result(conn)?;
    let rows: Vec<JobRow> = query()
        .order(job_table::id.desc())
        .offset(slice.offset)
        .limit(rows(slice.limit))
        .load(conn)?;
    Ok((collect(rows)?, u64::try_from(total).unwrap_or(0)))
}

/// The builds that a filter restricts the jobs to; `None` if it does not.
fn builds_of(
    conn: &mut Conn,
    project: ProjectId,
    filter: &JobFilter,
) -> Result<Option<Vec<i64>>, StoreError> {
    if filter.sha.is_none() && filter.git_ref.is_none() {
        return Ok(None);
    }
    let mut query = build_table::table
        .filter(build_table::project_id.eq(project.0))
        // Commit and ref are columns of the build, so they are resolved to build ids first.
        .select(build_table::id)
        .into_boxed::<<Conn as diesel::Connection>::Backend>();
    if let Some(sha) = &filter.sha {
        query = query.filter(build_table::sha.eq(sha.as_str()));
    }
    if let Some(git_ref) = &filter.git_ref {
        query = query.filter(build_table::git_ref.eq(git_ref.as_str()));
    }
    Ok(Some(query.load(conn)?))
}

/// Adds to jobs of one project what is shown for each, in one statement per kind of thing. An
/// archive that has expired at `now` is left out.
pub fn complete(
    conn: &mut Conn,
    project: ProjectId,
    jobs: Vec<Job>,
    now: DateTime<Utc>,
) -> Result<Vec<ListedJob>, StoreError> {
    let build_ids = distinct(jobs.iter().map(|job| job.build.0));
    let runner_ids = distinct(jobs.iter().filter_map(|job| Some(job.runner?.0)));
    let job_ids = distinct(jobs.iter().map(|job| job.id.0));

    let builds: HashMap<BuildId, Build> = builds::by_ids(conn, &build_ids)?
        .into_iter()
        .map(|build| (build.id, build))
        .collect();
    let commits = commits_of(conn, project, builds.values())?;
    let users = users_by_id(conn, jobs.iter().filter_map(|job| job.created_by))?;
    let runners: HashMap<RunnerId, Runner> = runners::by_ids(conn, &runner_ids)?
        .into_iter()
        .map(|runner| (runner.id, runner))
        .collect();
    let mut archives: HashMap<JobId, Artifact> = artifacts::archives_of(conn, &job_ids, now)?
        .into_iter()
        .map(|archive| (archive.job, archive))
        .collect();
    jobs.into_iter()
        .map(|job| {
            let build = builds.get(&job.build).cloned();
            let build = build.ok_or(StoreError::Corrupt("build of a job"))?;
            Ok(ListedJob {
                commit: commits.get(&build.sha).cloned(),
                user: job.created_by.and_then(|id| users.get(&id).cloned()),
                runner: job.runner.and_then(|id| runners.get(&id).cloned()),
                archive: archives.remove(&job.id),
                build,
                job,
            })
        })
        .collect()
}

/// Like [`complete`], for builds of one project.
pub fn complete_builds(
    conn: &mut Conn,
    project: ProjectId,
    builds: Vec<Build>,
) -> Result<Vec<ListedBuild>, StoreError> {
    let commits = commits_of(conn, project, builds.iter())?;
    let users = users_by_id(conn, builds.iter().filter_map(|build| build.created_by))?;
    let listed = builds.into_iter().map(|build| ListedBuild {
        commit: commits.get(&build.sha).cloned(),
        user: build.created_by.and_then(|id| users.get(&id).cloned()),
        build,
    });
    Ok(listed.collect())
}

fn distinct(ids: impl Iterator<Item = i64>) -> Vec<i64> {
    ids.collect::<BTreeSet<i64>>().into_iter().collect()
}

fn commits_of<'a>(
    conn: &mut Conn,
    project: ProjectId,
    builds: impl Iterator<Item = &'a Build>,
) -> Result<HashMap<CommitSha, Commit>, StoreError> {
    let shas: BTreeSet<&str> = builds.map(|build| build.sha.as_str()).collect();
    let shas: Vec<&str> = shas.into_iter().collect();
    commits::by_shas(conn, project, &shas)
}

fn users_by_id(
    conn: &mut Conn,
    ids: impl Iterator<Item = UserId>,
) -> Result<HashMap<UserId, User>, StoreError> {
    let ids = distinct(ids.map(|id| id.0));
    let mut known = HashMap::new();
    for row in user_table::table
        .filter(user_table::id.eq_any(ids))
        .load(conn)?
    {
        let user = users::read(row)?;
        known.insert(user.id, user);
    }
    Ok(known)
}

/// The latest attempt of a build's job, by the job's name.
pub fn latest_attempt(conn: &mut Conn, build: BuildId, name: &str) -> Result<Job, StoreError> {
    job_table::table
        .filter(job_table::build_id.eq(build.0))
        .filter(job_table::name.eq(name))
        .filter(job_table::superseded.eq(false))
        .first::<JobRow>(conn)
        .or_missing("job")?
        .try_into()
}

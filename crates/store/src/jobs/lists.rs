//! Lists of jobs and builds for display, with everything that is shown for each.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::{BuildId, Commit, CommitSha, JobId, ProjectId, RunnerId, StateName, UserId};

use crate::builds::commits;
use crate::builds::queries as builds;
use crate::builds::row::Build;
use crate::engine::connection::Conn;
use crate::engine::newest::{Check, Find, Newest, Value};
use crate::engine::page::{Part, Slice};
use crate::error::{OrMissing, StoreError};
use crate::jobs::artifacts::{self, Artifact};
use crate::jobs::queries::collect;
use crate::jobs::row::{Job, JobRow};
use crate::people::users::{self, User};
use crate::runners::queries as runners;
use crate::runners::row::Runner;
use crate::schema::{jobs as job_table, users as user_table};

/// How many builds of a commit are looked up one by one to list their jobs.
const FEW_BUILDS: usize = 1000;

/// Which jobs of a commit to list. An empty or absent member does not restrict the list.
#[derive(Clone, Debug)]
pub struct CommitFilter {
    pub sha: CommitSha,
    pub states: Vec<StateName>,
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

/// A part of a project's jobs in any of `states`, newest first. No state means all.
pub fn slice_of_project(
    conn: &mut Conn,
    project: ProjectId,
    states: &[StateName],
    slice: Slice,
) -> Result<Part<Job>, StoreError> {
    let project = ("project_id", Value::Number(project.0));
    let states: BTreeSet<&str> = states.iter().map(|state| state.as_str()).collect();
    let in_state = |state| Find::Key(vec![project, ("state", Value::Text(state))]);
    let jobs = Newest {
        table: "jobs",
        found: if states.is_empty() {
            vec![Find::Key(vec![project])]
        } else {
            states.into_iter().map(in_state).collect()
        },
        checks: Vec::new(),
    };
    part_of(conn, &jobs, slice)
}

/// A part of the jobs of a commit, newest first.
pub fn slice_of_commit(
    conn: &mut Conn,
    project: ProjectId,
    filter: &CommitFilter,
    slice: Slice,
) -> Result<Part<Job>, StoreError> {
    const SHA: &str = "(SELECT sha FROM builds WHERE builds.id = jobs.build_id)";
    const GIT_REF: &str = "(SELECT git_ref FROM builds WHERE builds.id = jobs.build_id)";

    let mut checks = Vec::new();
    checks.extend(check_text(GIT_REF, filter.git_ref.as_deref()));
    checks.extend(check_text("stage", filter.stage.as_deref()));
    checks.extend(check_text("name", filter.name.as_deref()));
    if filter.latest {
        checks.push(Check::new("superseded", Value::Flag(false)));
    }
    if !filter.states.is_empty() {
        let states = filter.states.iter();
        checks.push(Check {
            expression: "state",
            any_of: states.map(|state| Value::Text(state.as_str())).collect(),
        });
    }
    let few = i64::try_from(FEW_BUILDS).unwrap_or(i64::MAX);
    let builds = builds::ids_of_commit(conn, project, &filter.sha, few.saturating_add(1))?;
    let found = if builds.len() <= FEW_BUILDS {
        Find::Builds(&builds)
    } else {
        checks.extend(check_text(SHA, Some(filter.sha.as_str())));
        Find::Key(vec![("project_id", Value::Number(project.0))])
    };
    let jobs = Newest {
        table: "jobs",
        found: vec![found],
        checks,
    };
    part_of(conn, &jobs, slice)
}

fn check_text<'a>(expression: &'static str, text: Option<&'a str>) -> Option<Check<'a>> {
    text.map(|text| Check::new(expression, Value::Text(text)))
}

fn part_of(conn: &mut Conn, jobs: &Newest<'_>, slice: Slice) -> Result<Part<Job>, StoreError> {
    let part = jobs.part(conn, slice)?;
    let rows: Vec<JobRow> = job_table::table
        .filter(job_table::id.eq_any(&part.rows))
        .order(job_table::id.desc())
        .load(conn)?;
    Ok(part.with_rows(collect(rows)?))
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

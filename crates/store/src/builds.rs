//! Builds: one run of a pipeline for a commit.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::package::RequestedPackage;
use slipway_domain::pipeline::Definition;
use slipway_domain::queue::Requirement;
use slipway_domain::rollup::{Part, of_build};
use slipway_domain::{
    BuildId, BuildState, BuildUuid, CommitSha, GitRef, NamespaceId, PipelineId, ProjectId,
    TriggerId, UserId,
};

use crate::connection::Conn;
use crate::error::{OrMissing, StoreError};
use crate::jobs::{self, Changes, Details, NewJob};
use crate::page::{Page, Slice};
use crate::schema::{builds, pipelines, projects};
use crate::time::{parse, to_ms};
use crate::{by_commit, queue, statuses, warm};

mod ending;
mod row;

pub use ending::{call_off, fail, overdue};

pub(crate) use row::BuildRow;
use row::HandedColumns;
pub use row::{Build, BuildError, Handed};

/// What a build is made of.
#[derive(Clone, Debug)]
pub struct NewBuild {
    /// Its name to the outside.
    pub uuid: BuildUuid,
    /// The project.
    pub project: ProjectId,
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The commit.
    pub sha: CommitSha,
    /// The branch or tag.
    pub git_ref: Option<GitRef>,
    /// Whether `git_ref` is a tag.
    pub ref_is_tag: bool,
    /// Who asked.
    pub created_by: Option<UserId>,
    /// Variables of its own, sealed.
    pub variables: Option<String>,
    /// The trigger that starts it.
    pub trigger: Option<TriggerId>,
    /// The jobs, with every spec complete.
    pub definition: Definition,
    /// The package that is built in the place of a commit, and how it was asked for.
    pub package: Option<RequestedPackage>,
    /// Registry, user name and password with which its base images are pulled, sealed.
    pub pull_login: Option<String>,
    /// What whoever asked for it said and handed in.
    pub handed: Handed,
}

/// Makes a build and its jobs, all or nothing, with the next number of its pipeline. What may run is
/// kept up to `warm_wait` for a runner that built the project lately.
pub fn create(
    conn: &mut Conn,
    new: &NewBuild,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(Build, Changes), StoreError> {
    let number: i64 = diesel::update(pipelines::table.find(new.pipeline.0))
        .set(pipelines::last_number.eq(pipelines::last_number + 1))
        .returning(pipelines::last_number)
        .get_result(conn)
        .or_missing("pipeline")?;
    let package = new.package.as_ref().map(serde_json::to_string).transpose();
    let package = package.map_err(|_| StoreError::Corrupt("package of a build"))?;
    let id: i64 = diesel::insert_into(builds::table)
        .values((
            builds::uuid.eq(new.uuid.to_string()),
            builds::project_id.eq(new.project.0),
            builds::pipeline_id.eq(new.pipeline.0),
            builds::number.eq(number),
            builds::sha.eq(new.sha.as_str()),
            builds::git_ref.eq(new.git_ref.as_ref().map(GitRef::as_str)),
            builds::ref_is_tag.eq(new.ref_is_tag),
            builds::state.eq(BuildState::Pending.as_str()),
            builds::created_by.eq(new.created_by.map(|user| user.0)),
            builds::created_at.eq(to_ms(now)),
            builds::variables.eq(&new.variables),
            builds::trigger_id.eq(new.trigger.map(|trigger| trigger.0)),
            builds::package.eq(package),
            builds::pull_login.eq(&new.pull_login),
            HandedColumns::from(&new.handed),
        ))
        .returning(builds::id)
        .get_result(conn)?;
    let changes = create_jobs(conn, BuildId(id), new, warm_wait, now)?;
    roll_up(conn, BuildId(id), now)?;
    Ok((get(conn, BuildId(id))?, changes))
}

/// Makes the jobs of a definition, those first that others need.
fn create_jobs(
    conn: &mut Conn,
    build: BuildId,
    new: &NewBuild,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    let mut made = HashMap::new();
    let mut left: Vec<_> = new.definition.jobs.iter().collect();
    while !left.is_empty() {
        let before = left.len();
        let mut blocked = Vec::new();
        for job in left {
            let Some(needs) = job
                .needs
                .iter()
                .map(|need| made.get(need).copied())
                .collect()
            else {
                blocked.push(job);
                continue;
            };
            let requirement = Requirement {
                project: new.project,
                tags: job.tags.clone(),
                abilities: match new.handed.source_url {
                    // Stock runners know of commits alone.
                    Some(_) => job.spec.abilities().with_specs(),
                    None => job.spec.abilities(),
                },
            };
            let new_job = NewJob {
                build,
                project: new.project,
                queue_key: queue::key_for(conn, &requirement)?,
                name: job.name.to_string(),
                stage: job.stage.to_string(),
                spec: job.spec.clone(),
                timeout_s: i32::try_from(job.timeout_s).unwrap_or(i32::MAX),
                allow_failure: job.allow_failure,
                needs,
                created_by: new.created_by,
                when: job.when,
                details: Details {
                    step_key: job.step_key.clone(),
                    label: job.label.clone(),
                    retry: job.retry.clone(),
                    ..Details::default()
                },
                retries: None,
            };
            let job_row = jobs::insert(conn, &new_job, now)?;
            made.insert(&job.name, job_row.id);
            warm::note_new(conn, &mut changes, &job_row, warm_wait, now)?;
        }
        if blocked.len() == before {
            return Err(StoreError::Corrupt("pipeline definition"));
        }
        left = blocked;
    }
    Ok(changes)
}

/// Reads a build by its number in the farm.
pub fn get(conn: &mut Conn, id: BuildId) -> Result<Build, StoreError> {
    builds::table
        .find(id.0)
        .first::<BuildRow>(conn)
        .or_missing("build")?
        .try_into()
}

/// Reads several builds.
pub(crate) fn by_ids(conn: &mut Conn, ids: &[i64]) -> Result<Vec<Build>, StoreError> {
    let rows: Vec<BuildRow> = builds::table.filter(builds::id.eq_any(ids)).load(conn)?;
    rows.into_iter().map(Build::try_from).collect()
}

/// The newest build of a branch or tag that succeeded.
pub fn newest_succeeded(
    conn: &mut Conn,
    project: ProjectId,
    git_ref: &GitRef,
) -> Result<Build, StoreError> {
    builds::table
        .filter(builds::project_id.eq(project.0))
        .filter(builds::git_ref.eq(git_ref.as_str()))
        .filter(builds::state.eq(BuildState::Succeeded.as_str()))
        .order(builds::id.desc())
        .first::<BuildRow>(conn)
        .or_missing("build")?
        .try_into()
}

/// The sha of a commit that was built, by its first digits.
pub(crate) fn sha_beginning(
    conn: &mut Conn,
    project: ProjectId,
    from: &str,
    to: &str,
) -> Result<Option<CommitSha>, StoreError> {
    let sha: Option<String> = builds::table
        .filter(builds::project_id.eq(project.0))
        .filter(builds::sha.ge(from).and(builds::sha.lt(to)))
        .select(builds::sha)
        .first(conn)
        .optional()?;
    sha.map(|sha| parse(&sha, "sha")).transpose()
}

/// Whether any build of a project is of this commit.
pub fn any_of_commit(
    conn: &mut Conn,
    project: ProjectId,
    sha: &CommitSha,
) -> Result<bool, StoreError> {
    let first: Option<i64> = builds::table
        .filter(builds::project_id.eq(project.0))
        .filter(builds::sha.eq(sha.as_str()))
        .select(builds::id)
        .first(conn)
        .optional()?;
    Ok(first.is_some())
}

/// A slice of a project's builds, newest first, and how many there are.
pub fn slice_of_project(
    conn: &mut Conn,
    project: ProjectId,
    slice: Slice,
) -> Result<(Vec<Build>, u64), StoreError> {
    let own = builds::table.filter(builds::project_id.eq(project.0));
    let total: i64 = own.count().get_result(conn)?;
    let rows: Vec<BuildRow> = own
        .order(builds::id.desc())
        .offset(slice.offset)
        .limit(slice.limit)
        .load(conn)?;
    let builds: Result<_, _> = rows.into_iter().map(Build::try_from).collect();
    Ok((builds?, u64::try_from(total).unwrap_or(0)))
}

/// Reads a build by its name to the outside.
pub fn by_uuid(conn: &mut Conn, uuid: BuildUuid) -> Result<Build, StoreError> {
    builds::table
        .filter(builds::uuid.eq(uuid.to_string()))
        .first::<BuildRow>(conn)
        .or_missing("build")?
        .try_into()
}

/// Reads a build of a pipeline by its number.
pub fn by_number(conn: &mut Conn, pipeline: PipelineId, number: i64) -> Result<Build, StoreError> {
    builds::table
        .filter(builds::pipeline_id.eq(pipeline.0))
        .filter(builds::number.eq(number))
        .first::<BuildRow>(conn)
        .or_missing("build")?
        .try_into()
}

/// Which builds of a project are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only of this pipeline.
    pub pipeline: Option<PipelineId>,
    /// Only in this state.
    pub state: Option<BuildState>,
    /// Only of this commit.
    pub sha: Option<CommitSha>,
    /// Only of this branch or tag.
    pub git_ref: Option<GitRef>,
}

/// The builds of a project, newest first.
pub fn of_project(
    conn: &mut Conn,
    project: ProjectId,
    filter: &Filter,
    page: Page,
) -> Result<Vec<Build>, StoreError> {
    let mut query = builds::table
        .filter(
            builds::project_id
                .eq(project.0)
                .and(builds::id.lt(page.below())),
        )
        .order(builds::id.desc())
        .limit(page.limit)
        .into_boxed::<<Conn as diesel::Connection>::Backend>();
    if let Some(pipeline) = filter.pipeline {
        query = query.filter(builds::pipeline_id.eq(pipeline.0));
    }
    if let Some(state) = filter.state {
        query = query.filter(builds::state.eq(state.as_str()));
    }
    if let Some(sha) = &filter.sha {
        query = query.filter(builds::sha.eq(sha.to_string()));
    }
    if let Some(git_ref) = &filter.git_ref {
        query = query.filter(builds::git_ref.eq(git_ref.to_string()));
    }
    let rows: Vec<BuildRow> = query.load(conn)?;
    rows.into_iter().map(Build::try_from).collect()
}

/// The builds of a project that were asked for at `since` or later, newest first, at most `limit`.
pub fn asked_since(
    conn: &mut Conn,
    project: ProjectId,
    since: Option<DateTime<Utc>>,
    limit: i64,
) -> Result<Vec<Build>, StoreError> {
    let since = since.map_or(i64::MIN, to_ms);
    let rows: Vec<BuildRow> = builds::table
        .filter(builds::project_id.eq(project.0))
        .filter(builds::created_at.ge(since))
        .order(builds::id.desc())
        .limit(limit)
        .load(conn)?;
    rows.into_iter().map(Build::try_from).collect()
}

/// Whether any build of a project was of a package.
pub fn any_of_package(conn: &mut Conn, project: ProjectId) -> Result<bool, StoreError> {
    let first: Option<i64> = builds::table
        .filter(builds::project_id.eq(project.0))
        .filter(builds::package.is_not_null())
        .select(builds::id)
        .first(conn)
        .optional()?;
    Ok(first.is_some())
}

/// How many builds of the projects of a namespace are not over.
pub fn unfinished_in(conn: &mut Conn, namespace: NamespaceId) -> Result<i64, StoreError> {
    let count = builds::table
        .inner_join(projects::table.on(projects::id.eq(builds::project_id)))
        .filter(projects::namespace_id.eq(namespace.0))
        .filter(builds::finished_at.is_null())
        .count()
        .get_result(conn)?;
    Ok(count)
}

/// Rolls a build up in which something began anew, so that it has not finished after all.
pub(crate) fn reopen(conn: &mut Conn, id: BuildId, now: DateTime<Utc>) -> Result<(), StoreError> {
    ending::take_back(conn, id, now)?;
    let reopened = diesel::update(builds::table.find(id.0))
        .set(builds::finished_at.eq(None::<i64>))
        .execute(conn);
    by_commit::or_not_alone(reopened.map_err(StoreError::from))?;
    statuses::begin_anew(conn, id)?;
    roll_up(conn, id, now)?;
    Ok(())
}

/// Writes the state that follows from a build's jobs, and returns it.
pub(crate) fn roll_up(
    conn: &mut Conn,
    id: BuildId,
    now: DateTime<Utc>,
) -> Result<BuildState, StoreError> {
    let build = get(conn, id)?;
    let parts: Vec<Part> = jobs::of_build(conn, id)?
        .into_iter()
        .filter(|job| !job.superseded)
        .map(|job| Part {
            state: job.state,
            allowed_to_fail: job.allow_failure,
        })
        .collect();
    let state = of_build(&parts, build.handed.error.is_some());
    if state != build.state {
        let finished = state.is_done().then(|| to_ms(now));
        diesel::update(builds::table.find(id.0))
            .set((
                builds::state.eq(state.as_str()),
                builds::finished_at.eq(finished),
            ))
            .execute(conn)?;
        tracing::info!(build.id = %build.uuid, state = state.as_str(), "Build {} is {state}", build.uuid);
    }
    Ok(state)
}

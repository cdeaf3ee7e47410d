//! Creates builds with their jobs.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::package::RequestedPackage;
use slipway_domain::pipeline::{Definition, JobDefinition};
use slipway_domain::queue::Requirement;
use slipway_domain::{
    BuildId, BuildState, BuildUuid, CommitSha, FeatureSet, GitRef, PipelineId, ProjectId,
    TriggerId, TrustLevel, UserId,
};

use crate::builds::queries::get;
use crate::builds::row::{Build, Submission, SubmissionColumns};
use crate::engine::connection::Conn;
use crate::engine::time::to_ms;
use crate::error::{OrMissing, StoreError};
use crate::jobs::changes::Changes;
use crate::jobs::create::{self as jobs, NewJob};
use crate::jobs::details::Details;
use crate::queue::{keys, reservations};
use crate::schema::{builds, pipelines, projects};
use crate::settle::roll_up;

/// The values of a new build.
#[derive(Clone, Debug)]
pub struct NewBuild {
    /// The id that APIs show.
    pub uuid: BuildUuid,
    pub project: ProjectId,
    pub pipeline: PipelineId,
    pub sha: CommitSha,
    pub git_ref: Option<GitRef>,
    pub ref_is_tag: bool,
    pub created_by: Option<UserId>,
    /// The build's own variables, sealed.
    pub variables: Option<String>,
    /// The trigger that starts it.
    pub trigger: Option<TriggerId>,
    /// The jobs, with complete specs.
    pub definition: Definition,
    /// The package that is built instead of a commit, and how it was requested.
    pub package: Option<RequestedPackage>,
    /// Registry, user name and password for pulling its base images, sealed.
    pub pull_login: Option<String>,
    pub submission: Submission,
    pub trust: TrustLevel,
}

/// Creates a build and its jobs with the next number of the pipeline, or nothing at all. A job that
/// is pending at once may be reserved up to `warm_wait` for a runner that built the project
/// recently.
///
/// # Errors
/// `ReadOnly` if the project accepts no builds. This is checked here as well as by the callers, so that
/// no way to create a build can forget it, and a change in between counts.
pub fn create(
    conn: &mut Conn,
    new: &NewBuild,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(Build, Changes), StoreError> {
    // The update also locks the pipeline, so that numbers have no gaps and no duplicates.
    let number: i64 = diesel::update(pipelines::table.find(new.pipeline.0))
        .set(pipelines::last_number.eq(pipelines::last_number + 1))
        .returning(pipelines::last_number)
        .get_result(conn)
        .or_missing("pipeline")?;
    let is_read_only: bool = projects::table
        .find(new.project.0)
        .select(projects::read_only)
        .first(conn)
        .or_missing("project")?;
    if is_read_only {
        return Err(StoreError::ReadOnly);
    }
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
            builds::trust.eq(new.trust.as_str()),
            SubmissionColumns::from(&new.submission),
        ))
        .returning(builds::id)
        .get_result(conn)?;
    let changes = create_jobs(conn, BuildId(id), new, warm_wait, now)?;
    roll_up(conn, BuildId(id), now)?;
    Ok((get(conn, BuildId(id))?, changes))
}

/// What a runner must support to run a job of the build.
fn features(new: &NewBuild, job: &JobDefinition) -> FeatureSet {
    let features = match new.submission.source_url {
        // The commands that stock runners execute only know commits as sources.
        Some(_) => job.spec.features().with_specs(),
        None => job.spec.features(),
    };
    let features = features.with_trust(new.trust);
    let leaves_files =
        |need: &JobDefinition| job.needs.contains(&need.name) && need.spec.leaves_files();
    if job.spec.uses_files() && new.definition.jobs.iter().any(leaves_files) {
        features.with_needed_files()
    } else {
        features
    }
}

/// Creates the jobs of a definition, each after the jobs that it needs.
fn create_jobs(
    conn: &mut Conn,
    build: BuildId,
    new: &NewBuild,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    let mut created = HashMap::new();
    let mut remaining: Vec<_> = new.definition.jobs.iter().collect();
    while !remaining.is_empty() {
        let before = remaining.len();
        let mut blocked = Vec::new();
        for job in remaining {
            let Some(needs) = job
                .needs
                .iter()
                .map(|need| created.get(need).copied())
                .collect()
            else {
                blocked.push(job);
                continue;
            };
            let requirement = Requirement {
                project: new.project,
                tags: job.tags.clone(),
                features: features(new, job),
            };
            let new_job = NewJob {
                build,
                project: new.project,
                queue_key: keys::key_for(conn, &requirement)?,
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
            created.insert(&job.name, job_row.id);
            reservations::record_new(conn, &mut changes, &job_row, warm_wait, now)?;
        }
        // No progress means that jobs need each other in a circle, or a job that does not exist.
        if blocked.len() == before {
            return Err(StoreError::Corrupt("pipeline definition"));
        }
        remaining = blocked;
    }
    Ok(changes)
}

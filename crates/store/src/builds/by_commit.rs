//! Builds by their commit: sole ones, of which at most one is unfinished, and what a commit came to.
//!
//! That at most one is unfinished is kept by a unique index, so that two requests at the same
//! moment, at two coordinators, cannot both be granted.
use crate::builds::create::{NewBuild, create};
use crate::builds::queries::get;
use crate::builds::row::{Build, BuildRow, or_not_alone};
use crate::builds::statuses;
use crate::engine::connection::Conn;
use crate::error::{OrMissing, StoreError};
use crate::jobs::artifacts;
use crate::jobs::changes::Changes;
use crate::jobs::queries::of_build;
use crate::schema::{artifacts as artifact_table, builds as build_table, jobs as job_table};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::{ArtifactId, BuildId, BuildState, CommitSha, Name, ProjectId, ShaPrefix};

/// Makes a build that is the only unfinished one of its commit; `report` says whether the forge is
/// told how it goes.
///
/// # Errors
/// `Conflict` when another sole build of the commit is not over.
pub fn create_sole(
    conn: &mut Conn,
    new: &NewBuild,
    report: bool,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(Build, Changes), StoreError> {
    let (build, changes) = create(conn, new, warm_wait, now)?;
    let marked = diesel::update(build_table::table.find(build.id.0))
        .set(build_table::sole.eq(true))
        .execute(conn);
    or_not_alone(marked.map_err(StoreError::from))?;
    if report {
        statuses::insert(conn, build.id, now)?;
    }
    Ok((get(conn, build.id)?, changes))
}

/// The sole build of a commit that is not over, if there is one.
pub fn unfinished(
    conn: &mut Conn,
    project: ProjectId,
    sha: &CommitSha,
) -> Result<Option<Build>, StoreError> {
    let row: Option<BuildRow> = build_table::table
        .filter(build_table::project_id.eq(project.0))
        .filter(build_table::sha.eq(sha.as_str()))
        .filter(build_table::sole)
        .filter(build_table::finished_at.is_null())
        .first(conn)
        .optional()?;
    row.map(Build::try_from).transpose()
}

/// The newest build of the one commit of a project that `prefix` begins, whoever asked for it.
///
/// # Errors
/// `NotFound` when there is no such commit, or more than one.
pub fn newest(
    conn: &mut Conn,
    project: ProjectId,
    prefix: &ShaPrefix,
) -> Result<Build, StoreError> {
    let sha = only_sha(conn, project, prefix)?;
    build_table::table
        .filter(build_table::project_id.eq(project.0))
        .filter(build_table::sha.eq(sha))
        .order(build_table::id.desc())
        .first::<BuildRow>(conn)
        .or_missing("build")?
        .try_into()
}

/// The newest image that a successful build made of the commit that `prefix` begins.
///
/// # Errors
/// `NotFound` when there is none.
pub fn newest_image(
    conn: &mut Conn,
    project: ProjectId,
    prefix: &ShaPrefix,
) -> Result<(Build, artifacts::Artifact), StoreError> {
    let sha = only_sha(conn, project, prefix)?;
    let build: i64 = build_table::table
        .inner_join(job_table::table.on(job_table::build_id.eq(build_table::id)))
        .inner_join(artifact_table::table.on(artifact_table::job_id.eq(job_table::id)))
        .filter(build_table::project_id.eq(project.0))
        .filter(build_table::sha.eq(sha))
        .filter(build_table::state.eq(BuildState::Succeeded.as_str()))
        .filter(artifact_table::kind.eq(artifacts::IMAGE))
        .order(build_table::id.desc())
        .select(build_table::id)
        .first(conn)
        .or_missing("image")?;
    let build = get(conn, BuildId(build))?;
    let image = image_of(conn, &build)?;
    Ok((build, image))
}

/// The image of a build, the first one where it has several, once the build has succeeded. Those of
/// the parts of an index are not images of their own.
///
/// # Errors
/// `NotFound` when there is none.
pub fn image_of(conn: &mut Conn, build: &Build) -> Result<artifacts::Artifact, StoreError> {
    if build.state != BuildState::Succeeded {
        return Err(StoreError::NotFound("image"));
    }
    let jobs = of_build(conn, build.id)?;
    let parts: Vec<&Name> = jobs.iter().flat_map(|job| job.spec.parts()).collect();
    let whole = jobs
        .iter()
        .filter(|job| !job.superseded && !parts.iter().any(|part| part.as_str() == job.name));
    let whole: Vec<i64> = whole.map(|job| job.id.0).collect();
    let id: i64 = artifact_table::table
        .filter(artifact_table::job_id.eq_any(whole))
        .filter(artifact_table::kind.eq(artifacts::IMAGE))
        .order(artifact_table::id)
        .select(artifact_table::id)
        .first(conn)
        .or_missing("image")?;
    artifacts::get(conn, ArtifactId(id))
}

/// The one commit, among those a project has builds of, that `prefix` begins.
fn only_sha(conn: &mut Conn, project: ProjectId, prefix: &ShaPrefix) -> Result<String, StoreError> {
    // A sha is hex digits in lower case, so everything that begins like this sorts below `g`.
    let beyond = format!("{}g", prefix.as_str());
    let mut found: Vec<String> = build_table::table
        .filter(build_table::project_id.eq(project.0))
        .filter(build_table::sha.ge(prefix.as_str()))
        .filter(build_table::sha.lt(beyond))
        .select(build_table::sha)
        .distinct()
        .limit(2)
        .load(conn)?;
    match (found.pop(), found.pop()) {
        (Some(sha), None) => Ok(sha),
        _ => Err(StoreError::NotFound("build")),
    }
}

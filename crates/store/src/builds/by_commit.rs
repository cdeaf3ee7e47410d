//! Builds by their commit: sole builds, of which at most one is unfinished per commit and ref, and the
//! newest build or image of a commit.
//!
//! A unique index allows only one unfinished sole build of a commit and ref, so that two coordinators
//! cannot both create one at the same moment.
use crate::builds::create::{NewBuild, create};
use crate::builds::queries::get;
use crate::builds::row::{Build, BuildRow, SOLE_CONFLICT, explain_sole_conflict};
use crate::builds::statuses;
use crate::engine::connection::Conn;
use crate::error::{OrMissing, StoreError};
use crate::jobs::artifacts;
use crate::jobs::changes::Changes;
use crate::jobs::queries::of_build;
use crate::schema::{artifacts as artifact_table, builds as build_table, jobs as job_table};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::{
    ArtifactId, BuildId, BuildState, CommitSha, GitRef, Name, ProjectId, ShaPrefix,
};

/// Which unfinished sole builds prevent another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoleOf {
    /// Those of the commit.
    Commit,
    /// Those of the commit and the same ref.
    Ref,
}

/// Creates a build that is the only unfinished sole build of its commit, or of its commit and ref.
/// `report` decides whether its progress is reported to the forge.
///
/// # Errors
/// `Conflict` if another one is unfinished; the errors of [`create`].
pub fn create_sole(
    conn: &mut Conn,
    new: &NewBuild,
    of: SoleOf,
    report: bool,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(Build, Changes), StoreError> {
    let (build, changes) = create(conn, new, warm_wait, now)?;
    // The unique index rejects this if another sole build is unfinished; the new build is rolled back.
    let marked = diesel::update(build_table::table.find(build.id.0))
        .set(build_table::sole.eq(true))
        .execute(conn);
    explain_sole_conflict(marked.map_err(StoreError::from))?;
    // The index distinguishes refs. Creating a build locks its pipeline, so a build that another
    // coordinator creates at the same time is visible here or sees this one.
    if of == SoleOf::Commit && has_other_unfinished(conn, &build)? {
        return Err(StoreError::Conflict(SOLE_CONFLICT));
    }
    if report {
        statuses::insert(conn, build.id, now)?;
    }
    Ok((get(conn, build.id)?, changes))
}

fn has_other_unfinished(conn: &mut Conn, build: &Build) -> Result<bool, StoreError> {
    let other: Option<i64> = build_table::table
        .filter(build_table::project_id.eq(build.project.0))
        .filter(build_table::sha.eq(build.sha.as_str()))
        .filter(build_table::sole)
        .filter(build_table::finished_at.is_null())
        .filter(build_table::id.ne(build.id.0))
        .select(build_table::id)
        .first(conn)
        .optional()?;
    Ok(other.is_some())
}

/// The unfinished sole build of a commit and a ref.
pub fn unfinished(
    conn: &mut Conn,
    project: ProjectId,
    sha: &CommitSha,
    git_ref: &GitRef,
    ref_is_tag: bool,
) -> Result<Option<Build>, StoreError> {
    let row: Option<BuildRow> = build_table::table
        .filter(build_table::project_id.eq(project.0))
        .filter(build_table::sha.eq(sha.as_str()))
        .filter(build_table::git_ref.eq(git_ref.as_str()))
        .filter(build_table::ref_is_tag.eq(ref_is_tag))
        .filter(build_table::sole)
        .filter(build_table::finished_at.is_null())
        .first(conn)
        .optional()?;
    row.map(Build::try_from).transpose()
}

/// The newest build of the commit whose sha begins with `prefix`, no matter who requested it.
///
/// # Errors
/// `NotFound` if the project has builds of no such commit, or of more than one.
pub fn newest(
    conn: &mut Conn,
    project: ProjectId,
    prefix: &ShaPrefix,
) -> Result<Build, StoreError> {
    let sha = resolve_prefix(conn, project, prefix)?;
    build_table::table
        .filter(build_table::project_id.eq(project.0))
        .filter(build_table::sha.eq(sha))
        .order(build_table::id.desc())
        .first::<BuildRow>(conn)
        .or_missing("build")?
        .try_into()
}

/// The newest image that a successful build produced from the commit whose sha begins with
/// `prefix`.
///
/// # Errors
/// `NotFound` if there is none.
pub fn newest_image(
    conn: &mut Conn,
    project: ProjectId,
    prefix: &ShaPrefix,
) -> Result<(Build, artifacts::Artifact), StoreError> {
    let sha = resolve_prefix(conn, project, prefix)?;
    // The newest build may have no image, so the search starts from the artifacts.
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

/// The image of a successful build; the first one if it has several. The platform images that an
/// index combines do not count.
///
/// # Errors
/// `NotFound` if there is none.
pub fn image_of(conn: &mut Conn, build: &Build) -> Result<artifacts::Artifact, StoreError> {
    if build.state != BuildState::Succeeded {
        return Err(StoreError::NotFound("image"));
    }
    let jobs = of_build(conn, build.id)?;
    // Images of single platforms come from jobs of their own; only the job of the index counts.
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

/// The sha that begins with `prefix`, among the commits that a project has builds of.
fn resolve_prefix(
    conn: &mut Conn,
    project: ProjectId,
    prefix: &ShaPrefix,
) -> Result<String, StoreError> {
    // A sha consists of lower-case hex digits, so every sha with this prefix sorts below `g`.
    let end = format!("{}g", prefix.as_str());
    let mut found: Vec<String> = build_table::table
        .filter(build_table::project_id.eq(project.0))
        .filter(build_table::sha.ge(prefix.as_str()))
        .filter(build_table::sha.lt(end))
        .select(build_table::sha)
        .distinct()
        .limit(2)
        .load(conn)?;
    // Two different shas mean that the prefix is ambiguous.
    match (found.pop(), found.pop()) {
        (Some(sha), None) => Ok(sha),
        _ => Err(StoreError::NotFound("build")),
    }
}

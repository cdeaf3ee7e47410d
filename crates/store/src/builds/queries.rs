//! Reads builds.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::{
    BuildId, BuildState, BuildUuid, CommitSha, GitRef, NamespaceId, PipelineId, ProjectId, RefName,
};

use crate::builds::row::{Build, BuildRow};
use crate::engine::connection::Conn;
use crate::engine::page::{Page, Slice, rows};
use crate::engine::time::{parse, to_ms};
use crate::error::{OrMissing, StoreError};
use crate::schema::{builds, projects};

/// Reads a build by its id.
///
/// # Errors
/// `NotFound` if it does not exist.
pub fn get(conn: &mut Conn, id: BuildId) -> Result<Build, StoreError> {
    builds::table
        .find(id.0)
        .first::<BuildRow>(conn)
        .or_missing("build")?
        .try_into()
}

pub(crate) fn by_ids(conn: &mut Conn, ids: &[i64]) -> Result<Vec<Build>, StoreError> {
    let rows: Vec<BuildRow> = builds::table.filter(builds::id.eq_any(ids)).load(conn)?;
    rows.into_iter().map(Build::try_from).collect()
}

/// The newest build of a branch or tag that succeeded. `is_tag` tells which of both, if that is known.
pub fn newest_succeeded(
    conn: &mut Conn,
    project: ProjectId,
    git_ref: &GitRef,
    is_tag: Option<bool>,
) -> Result<Build, StoreError> {
    let mut query = builds::table
        .filter(builds::project_id.eq(project.0))
        .filter(builds::git_ref.eq(git_ref.as_str()))
        .filter(builds::state.eq(BuildState::Succeeded.as_str()))
        .order(builds::id.desc())
        .into_boxed::<<Conn as diesel::Connection>::Backend>();
    if let Some(is_tag) = is_tag {
        query = query.filter(builds::ref_is_tag.eq(is_tag));
    }
    query
        .first::<BuildRow>(conn)
        .or_missing("build")?
        .try_into()
}

/// The sha of a built commit in the range from `from` up to `to`.
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

/// Whether the project has a build of this commit.
pub fn exists_for_commit(
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

/// A slice of a project's builds, newest first, and how many there are in all.
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
        .limit(rows(slice.limit))
        .load(conn)?;
    let builds: Result<_, _> = rows.into_iter().map(Build::try_from).collect();
    Ok((builds?, u64::try_from(total).unwrap_or(0)))
}

/// Reads a build by the id that APIs show.
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

/// Which builds of a project to list. An absent member does not restrict the list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub pipeline: Option<PipelineId>,
    pub state: Option<BuildState>,
    pub sha: Option<CommitSha>,
    /// The branch or tag.
    pub git_ref: Option<RefName>,
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
        .limit(rows(page.limit))
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
        query = query.filter(builds::git_ref.eq(git_ref.name.to_string()));
        if let Some(is_tag) = git_ref.tag_if_known() {
            query = query.filter(builds::ref_is_tag.eq(is_tag));
        }
    }
    let rows: Vec<BuildRow> = query.load(conn)?;
    rows.into_iter().map(Build::try_from).collect()
}

/// Up to `limit` builds of a project that were created at `since` or later, newest first.
pub fn created_since(
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
        .limit(rows(limit))
        .load(conn)?;
    rows.into_iter().map(Build::try_from).collect()
}

/// Whether the project has a build of a package.
pub fn exists_for_package(conn: &mut Conn, project: ProjectId) -> Result<bool, StoreError> {
    let first: Option<i64> = builds::table
        .filter(builds::project_id.eq(project.0))
        .filter(builds::package.is_not_null())
        .select(builds::id)
        .first(conn)
        .optional()?;
    Ok(first.is_some())
}

/// How many builds of a namespace's projects are unfinished.
pub fn count_unfinished(conn: &mut Conn, namespace: NamespaceId) -> Result<i64, StoreError> {
    let count = builds::table
        .inner_join(projects::table.on(projects::id.eq(builds::project_id)))
        .filter(projects::namespace_id.eq(namespace.0))
        .filter(builds::finished_at.is_null())
        .count()
        .get_result(conn)?;
    Ok(count)
}

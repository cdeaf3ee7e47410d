//! Reads builds.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::{
    BuildId, BuildState, BuildUuid, CommitSha, GitRef, NamespaceId, PipelineId, ProjectId, RefName,
};

use crate::builds::row::{Build, BuildRow};
use crate::engine::connection::Conn;
use crate::engine::newest::{Check, Find, Newest, Value};
use crate::engine::page::{Page, Part, Slice, rows};
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

/// The ids of up to `limit` builds of a commit.
pub(crate) fn ids_of_commit(
    conn: &mut Conn,
    project: ProjectId,
    sha: &CommitSha,
    limit: i64,
) -> Result<Vec<i64>, StoreError> {
    let filter = Filter {
        sha: Some(sha.clone()),
        ..Filter::default()
    };
    let found = Found::new(project, &filter);
    found
        .newest(Some(Indexed::Sha))
        .ids(conn, i64::MAX, limit, 0)
}

/// A part of a project's builds, newest first.
pub fn slice_of_project(
    conn: &mut Conn,
    project: ProjectId,
    slice: Slice,
) -> Result<Part<Build>, StoreError> {
    let filter = Filter::default();
    let found = Found::new(project, &filter);
    let part = found.newest(None).part(conn, slice)?;
    Ok(part.with_rows(newest_first(conn, &part.rows)?))
}

/// The builds with these ids, newest first.
fn newest_first(conn: &mut Conn, ids: &[i64]) -> Result<Vec<Build>, StoreError> {
    let rows: Vec<BuildRow> = builds::table
        .filter(builds::id.eq_any(ids))
        .order(builds::id.desc())
        .load(conn)?;
    rows.into_iter().map(Build::try_from).collect()
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
    let found = Found::new(project, filter);
    let indexed = found.indexed(conn)?;
    let ids = found
        .newest(indexed)
        .ids(conn, page.below(), rows(page.limit), 0)?;
    newest_first(conn, &ids)
}

/// A filter with an index of its own, from the one that usually matches the fewest builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Indexed {
    Sha,
    Ref,
    Pipeline,
    State,
}

impl Indexed {
    fn column(self) -> &'static str {
        match self {
            Self::Sha => "sha",
            Self::Ref => "git_ref",
            Self::Pipeline => "pipeline_id",
            Self::State => "state",
        }
    }
}

/// A filter that matches at most so many builds is looked up first, and the others are checked on each of
/// its builds.
const FEW_BUILDS: i64 = 1000;

/// How the builds of a list are found.
struct Found<'a> {
    project: ProjectId,
    /// The filters that are given, and what they ask for.
    given: Vec<(Indexed, Value<'a>)>,
    is_tag: Option<bool>,
}

impl<'a> Found<'a> {
    fn new(project: ProjectId, filter: &'a Filter) -> Self {
        let (sha, git_ref) = (filter.sha.as_ref(), filter.git_ref.as_ref());
        let given = [
            (Indexed::Sha, sha.map(|sha| Value::Text(sha.as_str()))),
            (
                Indexed::Ref,
                git_ref.map(|git_ref| Value::Text(git_ref.name.as_str())),
            ),
            (
                Indexed::Pipeline,
                filter.pipeline.map(|id| Value::Number(id.0)),
            ),
            (
                Indexed::State,
                filter.state.map(|state| Value::Text(state.as_str())),
            ),
        ];
        let given = given
            .into_iter()
            .filter_map(|(by, value)| Some((by, value?)));
        Self {
            project,
            given: given.collect(),
            is_tag: git_ref.and_then(RefName::tag_if_known),
        }
    }

    /// Which of the filters an index should serve: the first that matches few builds, or else the first.
    fn indexed(&self, conn: &mut Conn) -> Result<Option<Indexed>, StoreError> {
        if self.given.len() > 1 {
            for (by, value) in &self.given {
                let alone = Self {
                    project: self.project,
                    given: vec![(*by, *value)],
                    is_tag: None,
                };
                if alone.newest(Some(*by)).count(conn, FEW_BUILDS + 1)? <= FEW_BUILDS {
                    return Ok(Some(*by));
                }
            }
        }
        Ok(self.given.first().map(|(by, _)| *by))
    }

    /// The builds. The index of the filter `indexed` finds them, or that of the project if there is none.
    fn newest(&self, indexed: Option<Indexed>) -> Newest<'a> {
        let project = ("project_id", Value::Number(self.project.0));
        let (mut key, mut checks) = (Vec::new(), Vec::new());
        if indexed == Some(Indexed::Pipeline) {
            // The index has no project, because a pipeline belongs to one.
            checks.push(Check::new(project.0, project.1));
        } else {
            key.push(project);
        }
        for (by, value) in &self.given {
            if indexed == Some(*by) {
                key.push((by.column(), *value));
            } else {
                checks.push(Check::new(by.column(), *value));
            }
        }
        let is_tag = self.is_tag.map(Value::Flag);
        checks.extend(is_tag.map(|is_tag| Check::new("ref_is_tag", is_tag)));
        Newest {
            table: "builds",
            found: vec![Find::Key(key)],
            checks,
        }
    }
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
        .order((builds::created_at.desc(), builds::id.desc()))
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

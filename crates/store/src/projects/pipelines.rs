//! Pipelines: what a project runs for a commit.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::names::slugify;
use slipway_domain::pipeline::Definition;
use slipway_domain::{NamespaceId, PipelineId, ProjectId, Slug};

use crate::engine::connection::Conn;
use crate::engine::page::rows;
use crate::engine::time::{from_ms, from_opt_ms, parse, to_ms};
use crate::error::{OrMissing, StoreError};
use crate::projects::queries as projects;
use crate::projects::row::Project;
use crate::schema::pipelines;

/// What a project runs for a commit.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub id: PipelineId,
    pub project: ProjectId,
    /// Unique in the project.
    pub slug: Slug,
    pub definition: Definition,
    /// The number of its newest build.
    pub last_number: i64,
    pub created_at: DateTime<Utc>,
    /// The display name.
    pub title: String,
    pub description: Option<String>,
    /// Unique in the namespace.
    pub wide_slug: String,
    /// The repository as `owner/name` in lower case, for requests that name no pipeline.
    pub repo_name: Option<String>,
    /// The pipeline's slug inside its repository.
    pub source_slug: Option<String>,
    /// Whether users may start it by hand.
    pub allow_manual: bool,
    /// Whether its jobs come from the repository at the commit. `definition` is used if the
    /// repository has none.
    pub from_repository: bool,
    pub archived_at: Option<DateTime<Utc>>,
}

#[derive(Queryable)]
struct Row {
    id: i64,
    project_id: i64,
    slug: String,
    definition: String,
    last_number: i64,
    created_at: i64,
    title: String,
    description: Option<String>,
    _namespace_id: Option<i64>,
    wide_slug: Option<String>,
    repo_name: Option<String>,
    source_slug: Option<String>,
    allow_manual: bool,
    from_repository: bool,
    archived_at: Option<i64>,
}

fn read(row: Row) -> Result<Pipeline, StoreError> {
    Ok(Pipeline {
        id: PipelineId(row.id),
        project: ProjectId(row.project_id),
        slug: parse(&row.slug, "slug")?,
        definition: serde_json::from_str(&row.definition)
            .map_err(|_| StoreError::Corrupt("pipeline definition"))?,
        last_number: row.last_number,
        created_at: from_ms(row.created_at)?,
        title: row.title,
        description: row.description,
        wide_slug: row.wide_slug.ok_or(StoreError::Corrupt("wide slug"))?,
        repo_name: row.repo_name,
        source_slug: row.source_slug,
        allow_manual: row.allow_manual,
        from_repository: row.from_repository,
        archived_at: from_opt_ms(row.archived_at)?,
    })
}

fn to_json(definition: &Definition) -> Result<String, StoreError> {
    serde_json::to_string(definition).map_err(|_| StoreError::Corrupt("pipeline definition"))
}

/// The values of a new pipeline.
#[derive(Clone, Debug)]
pub struct NewPipeline {
    pub project: ProjectId,
    /// Unique in the project.
    pub slug: Slug,
    pub definition: Definition,
    /// Whether its jobs come from the repository at the commit, if the repository has any.
    pub from_repository: bool,
}

/// Creates a pipeline.
///
/// # Errors
/// `Conflict` if the slug is taken in its project.
pub fn insert(
    conn: &mut Conn,
    new: &NewPipeline,
    now: DateTime<Utc>,
) -> Result<Pipeline, StoreError> {
    let slug = &new.slug;
    let owner = projects::get(conn, new.project)?;
    let preferred = wide_slug(&owner, slug);
    let wide = free_slug(conn, owner.namespace, &preferred)?;
    let id: i64 = diesel::insert_into(pipelines::table)
        .values((
            pipelines::project_id.eq(new.project.0),
            pipelines::namespace_id.eq(owner.namespace.0),
            pipelines::wide_slug.eq(wide),
            pipelines::title.eq(slug.as_str()),
            pipelines::slug.eq(slug.as_str()),
            pipelines::definition.eq(to_json(&new.definition)?),
            pipelines::from_repository.eq(new.from_repository),
            pipelines::last_number.eq(0),
            pipelines::created_at.eq(to_ms(now)),
        ))
        .returning(pipelines::id)
        .get_result(conn)?;
    get(conn, PipelineId(id))
}

/// The slug of a pipeline in its namespace, unless that is taken: the project's name, followed by
/// the pipeline's own slug unless it is the default pipeline.
fn wide_slug(project: &Project, slug: &Slug) -> String {
    let own = slugify(project.name.as_str());
    if *slug == Slug::default_pipeline() {
        own
    } else {
        format!("{own}-{slug}")
    }
}

/// `wanted`, or the first of `wanted-2`, `wanted-3`, … that no pipeline of the namespace has.
fn free_slug(conn: &mut Conn, namespace: NamespaceId, wanted: &str) -> Result<String, StoreError> {
    let taken: Vec<Option<String>> = pipelines::table
        .filter(pipelines::namespace_id.eq(namespace.0))
        .filter(pipelines::wide_slug.like(format!("{wanted}%")))
        .select(pipelines::wide_slug)
        .load(conn)?;
    let is_free = |slug: &String| !taken.iter().flatten().any(|other| other == slug);
    let numbered = (2..).map(|number| format!("{wanted}-{number}"));
    let mut wanted = std::iter::once(wanted.to_owned()).chain(numbered);
    wanted
        .find(is_free)
        .ok_or(StoreError::Conflict("the namespace has no free slug left"))
}

/// Changes what a pipeline runs. Existing builds do not change.
pub fn update(
    conn: &mut Conn,
    id: PipelineId,
    definition: &Definition,
    from_repository: bool,
) -> Result<Pipeline, StoreError> {
    diesel::update(pipelines::table.find(id.0))
        .set((
            pipelines::definition.eq(to_json(definition)?),
            pipelines::from_repository.eq(from_repository),
        ))
        .execute(conn)?;
    get(conn, id)
}

/// Reads a pipeline by its id.
///
/// # Errors
/// `NotFound` if it does not exist.
pub fn get(conn: &mut Conn, id: PipelineId) -> Result<Pipeline, StoreError> {
    read(
        pipelines::table
            .find(id.0)
            .first(conn)
            .or_missing("pipeline")?,
    )
}

/// Reads a pipeline of a project by its slug.
pub fn by_slug(conn: &mut Conn, project: ProjectId, slug: &Slug) -> Result<Pipeline, StoreError> {
    let row = pipelines::table
        .filter(
            pipelines::project_id
                .eq(project.0)
                .and(pipelines::slug.eq(slug.as_str())),
        )
        .first(conn);
    read(row.or_missing("pipeline")?)
}

/// Reads a pipeline by its slug in the namespace.
pub fn by_wide_slug(
    conn: &mut Conn,
    namespace: NamespaceId,
    slug: &str,
) -> Result<Pipeline, StoreError> {
    let row = pipelines::table
        .filter(pipelines::namespace_id.eq(namespace.0))
        .filter(pipelines::wide_slug.eq(slug))
        .first(conn);
    read(row.or_missing("pipeline")?)
}

/// Reads the oldest pipeline of a namespace with this slug inside this repository. `repo_name` is
/// in lower case.
pub fn by_source(
    conn: &mut Conn,
    namespace: NamespaceId,
    repo_name: &str,
    source_slug: &str,
) -> Result<Pipeline, StoreError> {
    let row = pipelines::table
        .filter(pipelines::namespace_id.eq(namespace.0))
        .filter(pipelines::repo_name.eq(repo_name))
        .filter(pipelines::source_slug.eq(source_slug))
        .order(pipelines::id)
        .first(conn);
    read(row.or_missing("pipeline")?)
}

/// The pipelines of a namespace with ids above `after`, oldest first, without archived ones.
pub fn of_namespace(
    conn: &mut Conn,
    namespace: NamespaceId,
    after: i64,
    limit: i64,
) -> Result<Vec<Pipeline>, StoreError> {
    let rows = pipelines::table
        .filter(pipelines::namespace_id.eq(namespace.0))
        .filter(pipelines::archived_at.is_null())
        .filter(pipelines::id.gt(after))
        .order(pipelines::id)
        .limit(rows(limit))
        .load(conn)?;
    rows.into_iter().map(read).collect()
}

/// Writes everything about a pipeline except what it runs.
pub fn describe(conn: &mut Conn, pipeline: &Pipeline) -> Result<Pipeline, StoreError> {
    diesel::update(pipelines::table.find(pipeline.id.0))
        .set((
            pipelines::title.eq(&pipeline.title),
            pipelines::description.eq(&pipeline.description),
            pipelines::repo_name.eq(&pipeline.repo_name),
            pipelines::source_slug.eq(&pipeline.source_slug),
            pipelines::allow_manual.eq(pipeline.allow_manual),
            pipelines::archived_at.eq(pipeline.archived_at.map(to_ms)),
        ))
        .execute(conn)?;
    get(conn, pipeline.id)
}

/// The pipelines of a project, by slug. There are never many.
pub fn of_project(conn: &mut Conn, project: ProjectId) -> Result<Vec<Pipeline>, StoreError> {
    let rows = pipelines::table
        .filter(pipelines::project_id.eq(project.0))
        .order(pipelines::slug)
        .load(conn)?;
    rows.into_iter().map(read).collect()
}

//! Pipelines: what a project runs for a commit.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::names::slugify;
use slipway_domain::pipeline::Definition;
use slipway_domain::{NamespaceId, PipelineId, ProjectId, Slug};

use crate::engine::connection::Conn;
use crate::engine::time::{from_ms, from_opt_ms, parse, to_ms};
use crate::error::{OrMissing, StoreError};
use crate::projects::queries as projects;
use crate::projects::row::Project;
use crate::schema::pipelines;

/// What a project runs for a commit.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Its id.
    pub id: PipelineId,
    /// The project.
    pub project: ProjectId,
    /// Its short name.
    pub slug: Slug,
    /// Its jobs.
    pub definition: Definition,
    /// The number of its newest build.
    pub last_number: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// What people call it.
    pub title: String,
    /// What it is for.
    pub description: Option<String>,
    /// Its short name in its whole namespace.
    pub wide_slug: String,
    /// The repository as `owner/name`, in lower case, for those who know nothing else.
    pub repo_name: Option<String>,
    /// What it is called inside of its repository.
    pub source_slug: Option<String>,
    /// Whether people may have it run.
    pub allow_manual: bool,
    /// Whether its jobs come from the repository at the commit, with `definition` for where it has
    /// none.
    pub from_repository: bool,
    /// When it was put away.
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

fn written(definition: &Definition) -> Result<String, StoreError> {
    serde_json::to_string(definition).map_err(|_| StoreError::Corrupt("pipeline definition"))
}

/// What a pipeline is made of.
#[derive(Clone, Debug)]
pub struct NewPipeline {
    /// The project.
    pub project: ProjectId,
    /// Its short name.
    pub slug: Slug,
    /// Its jobs.
    pub definition: Definition,
    /// Whether its jobs come from the repository at the commit, where that has some.
    pub from_repository: bool,
}

/// Makes a pipeline.
///
/// # Errors
/// `Conflict` when the slug is taken in its project.
pub fn insert(
    conn: &mut Conn,
    new: &NewPipeline,
    now: DateTime<Utc>,
) -> Result<Pipeline, StoreError> {
    let slug = &new.slug;
    let owner = projects::get(conn, new.project)?;
    let usual = wide_slug(&owner, slug);
    let wide = free_slug(conn, owner.namespace, &usual)?;
    let id: i64 = diesel::insert_into(pipelines::table)
        .values((
            pipelines::project_id.eq(new.project.0),
            pipelines::namespace_id.eq(owner.namespace.0),
            pipelines::wide_slug.eq(wide),
            pipelines::title.eq(slug.as_str()),
            pipelines::slug.eq(slug.as_str()),
            pipelines::definition.eq(written(&new.definition)?),
            pipelines::from_repository.eq(new.from_repository),
            pipelines::last_number.eq(0),
            pipelines::created_at.eq(to_ms(now)),
        ))
        .returning(pipelines::id)
        .get_result(conn)?;
    get(conn, PipelineId(id))
}

/// What a pipeline is called in its namespace unless that is taken: as its project, and for all but
/// the default one its own slug after it.
fn wide_slug(project: &Project, slug: &Slug) -> String {
    let own = slugify(project.name.as_str());
    match *slug == Slug::default_pipeline() {
        true => own,
        false => format!("{own}-{slug}"),
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
    wanted.find(is_free).ok_or(StoreError::Conflict("slug"))
}

/// Changes what a pipeline runs; builds that exist keep what they have.
pub fn update(
    conn: &mut Conn,
    id: PipelineId,
    definition: &Definition,
    from_repository: bool,
) -> Result<Pipeline, StoreError> {
    diesel::update(pipelines::table.find(id.0))
        .set((
            pipelines::definition.eq(written(definition)?),
            pipelines::from_repository.eq(from_repository),
        ))
        .execute(conn)?;
    get(conn, id)
}

/// Reads a pipeline.
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

/// Reads a pipeline by its short name in its namespace.
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

/// Reads the oldest pipeline of a namespace that is called `source_slug` inside of the repository
/// `repo_name`, which is in lower case.
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

/// The pipelines of a namespace that were not put away, oldest first, from the one after `after`.
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
        .limit(limit)
        .load(conn)?;
    rows.into_iter().map(read).collect()
}

/// Writes what is known of a pipeline besides its jobs.
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

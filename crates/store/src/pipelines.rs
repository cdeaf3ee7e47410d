//! Pipelines: what a project runs for a commit.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::pipeline::Definition;
use slipway_domain::{PipelineId, ProjectId, Slug};

use crate::connection::Conn;
use crate::error::{OrMissing, StoreError};
use crate::schema::pipelines;
use crate::time::{from_ms, parse, to_ms};

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
}

type Row = (i64, i64, String, String, i64, i64);

fn read(
    (id, project, slug, definition, last_number, created_at): Row,
) -> Result<Pipeline, StoreError> {
    Ok(Pipeline {
        id: PipelineId(id),
        project: ProjectId(project),
        slug: parse(&slug, "slug")?,
        definition: serde_json::from_str(&definition)
            .map_err(|_| StoreError::Corrupt("pipeline definition"))?,
        last_number,
        created_at: from_ms(created_at)?,
    })
}

fn written(definition: &Definition) -> Result<String, StoreError> {
    serde_json::to_string(definition).map_err(|_| StoreError::Corrupt("pipeline definition"))
}

/// Makes a pipeline.
///
/// # Errors
/// `Conflict` when the slug is taken in its project.
pub fn insert(
    conn: &mut Conn,
    project: ProjectId,
    slug: &Slug,
    definition: &Definition,
    now: DateTime<Utc>,
) -> Result<Pipeline, StoreError> {
    let id: i64 = diesel::insert_into(pipelines::table)
        .values((
            pipelines::project_id.eq(project.0),
            pipelines::slug.eq(slug.as_str()),
            pipelines::definition.eq(written(definition)?),
            pipelines::last_number.eq(0),
            pipelines::created_at.eq(to_ms(now)),
        ))
        .returning(pipelines::id)
        .get_result(conn)?;
    get(conn, PipelineId(id))
}

/// Changes what a pipeline runs; builds that exist keep what they have.
pub fn update(
    conn: &mut Conn,
    id: PipelineId,
    definition: &Definition,
) -> Result<Pipeline, StoreError> {
    diesel::update(pipelines::table.find(id.0))
        .set(pipelines::definition.eq(written(definition)?))
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

/// The pipelines of a project, by slug. There are never many.
pub fn of_project(conn: &mut Conn, project: ProjectId) -> Result<Vec<Pipeline>, StoreError> {
    let rows = pipelines::table
        .filter(pipelines::project_id.eq(project.0))
        .order(pipelines::slug)
        .load(conn)?;
    rows.into_iter().map(read).collect()
}

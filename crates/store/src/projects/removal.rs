//! What is left to do in the database when a project goes.

use diesel::prelude::*;
use slipway_domain::{BuildId, JobId, ProjectId, RunnerId};

use crate::engine::connection::Conn;
use crate::engine::locks;
use crate::error::StoreError;
use crate::runners::projects::bound_to;
use crate::runners::queries::changed;
use crate::schema::{artifacts, builds, jobs, projects, trace_chunks};

/// Switches a project's builds off, so that nothing more is claimed or begun.
pub fn close(conn: &mut Conn, project: ProjectId) -> Result<(), StoreError> {
    let changed = diesel::update(projects::table.find(project.0))
        .set(projects::builds_enabled.eq(false))
        .execute(conn)?;
    match changed {
        0 => Err(StoreError::NotFound("project")),
        _ => Ok(()),
    }
}

/// The oldest builds of a project, so many at the most. Others are kept from changing them until
/// the transaction ends: all are locked before any of their jobs is.
pub fn take_oldest_builds(
    conn: &mut Conn,
    project: ProjectId,
    limit: i64,
) -> Result<Vec<BuildId>, StoreError> {
    let builds = oldest_builds(conn, project, limit)?;
    for build in &builds {
        locks::lock_build(conn, *build)?;
    }
    Ok(builds)
}

fn oldest_builds(
    conn: &mut Conn,
    project: ProjectId,
    limit: i64,
) -> Result<Vec<BuildId>, StoreError> {
    let ids: Vec<i64> = builds::table
        .filter(builds::project_id.eq(project.0))
        .order(builds::id)
        .limit(limit)
        .select(builds::id)
        .load(conn)?;
    Ok(ids.into_iter().map(BuildId).collect())
}

/// Removes a build that was taken, with its jobs; returns the blobs that nothing refers to any more.
pub fn remove_build(conn: &mut Conn, build: BuildId) -> Result<Vec<String>, StoreError> {
    let ids: Vec<i64> = jobs::table
        .filter(jobs::build_id.eq(build.0))
        .order(jobs::id)
        .select(jobs::id)
        .load(conn)?;
    let source: Option<Option<String>> = builds::table
        .find(build.0)
        .select(builds::source_key)
        .first(conn)
        .optional()?;
    let mut unused: Vec<String> = source.flatten().into_iter().collect();
    for id in ids {
        // What is being sent for the job is kept before this, and seen here, or refused after it.
        locks::lock_job(conn, JobId(id))?;
        let chunks: Vec<String> = trace_chunks::table
            .filter(trace_chunks::job_id.eq(id))
            .select(trace_chunks::blob_key)
            .load(conn)?;
        let files: Vec<Option<String>> = artifacts::table
            .filter(artifacts::job_id.eq(id))
            .select(artifacts::blob_key)
            .load(conn)?;
        unused.extend(chunks);
        unused.extend(files.into_iter().flatten());
    }
    diesel::delete(jobs::table.filter(jobs::build_id.eq(build.0))).execute(conn)?;
    diesel::delete(builds::table.find(build.0)).execute(conn)?;
    Ok(unused)
}

/// Removes a project with all that belongs to it; returns the runners that served it. `None` when
/// it has builds, which go first.
pub fn remove_project(
    conn: &mut Conn,
    project: ProjectId,
) -> Result<Option<Vec<RunnerId>>, StoreError> {
    locks::lock_project(conn, project)?;
    if !oldest_builds(conn, project, 1)?.is_empty() {
        return Ok(None);
    }
    let served_by = bound_to(conn, project)?;
    for runner in &served_by {
        changed(conn, *runner)?;
    }
    match diesel::delete(projects::table.find(project.0)).execute(conn)? {
        0 => Err(StoreError::NotFound("project")),
        _ => Ok(Some(served_by)),
    }
}

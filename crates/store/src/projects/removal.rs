//! Deletes a project step by step: its builds a few at a time, then the project itself.

use diesel::prelude::*;
use slipway_domain::{BuildId, JobId, ProjectId, RunnerId};

use crate::engine::connection::Conn;
use crate::engine::locks;
use crate::error::StoreError;
use crate::jobs::{artifact_uploads, traces};
use crate::runners::projects::bound_to;
use crate::runners::queries::changed;
use crate::schema::{artifacts, builds, jobs, projects};

/// Disables a project's builds, so that no job is claimed and no build is created any more.
pub fn close(conn: &mut Conn, project: ProjectId) -> Result<(), StoreError> {
    let changed = diesel::update(projects::table.find(project.0))
        .set(projects::builds_enabled.eq(false))
        .execute(conn)?;
    match changed {
        0 => Err(StoreError::NotFound("project")),
        _ => Ok(()),
    }
}

/// Locks up to `limit` of a project's oldest builds until the transaction ends. All of them are
/// locked before any of their jobs is.
pub fn lock_oldest_builds(
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

/// Deletes a locked build with its jobs. Returns the blobs that are no longer referenced.
pub fn delete_build(conn: &mut Conn, build: BuildId) -> Result<Vec<String>, StoreError> {
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
    let mut unreferenced: Vec<String> = source.flatten().into_iter().collect();
    for id in ids {
        // Data that is being sent for the job is either committed before this lock and found below,
        // or rejected afterwards because the job is gone.
        locks::lock_job(conn, JobId(id))?;
        let files: Vec<Option<String>> = artifacts::table
            .filter(artifacts::job_id.eq(id))
            .select(artifacts::blob_key)
            .load(conn)?;
        unreferenced.extend(traces::blobs_of(conn, JobId(id))?);
        unreferenced.extend(artifact_uploads::delete_of_job(conn, JobId(id))?);
        unreferenced.extend(files.into_iter().flatten());
    }
    // Traces and artifacts are deleted with their jobs, so their blobs were collected above.
    diesel::delete(jobs::table.filter(jobs::build_id.eq(build.0))).execute(conn)?;
    diesel::delete(builds::table.find(build.0)).execute(conn)?;
    Ok(unreferenced)
}

/// Deletes a project with everything that belongs to it. Returns the runners that served it, or
/// `None` if it still has builds, which must be deleted first.
pub fn delete_project(
    conn: &mut Conn,
    project: ProjectId,
) -> Result<Option<Vec<RunnerId>>, StoreError> {
    // Locked before the check, so that no build is created between the check and the deletion.
    locks::lock_project(conn, project)?;
    if !oldest_builds(conn, project, 1)?.is_empty() {
        return Ok(None);
    }
    let served_by = bound_to(conn, project)?;
    // Their set of projects changes with the deletion, which cached capabilities must notice.
    for runner in &served_by {
        changed(conn, *runner)?;
    }
    match diesel::delete(projects::table.find(project.0)).execute(conn)? {
        0 => Err(StoreError::NotFound("project")),
        _ => Ok(Some(served_by)),
    }
}

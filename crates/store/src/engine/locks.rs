//! Row locks on PostgreSQL, where several coordinators write at once. SQLite has one writer and
//! needs none.
//!
//! Every transaction locks in the same order, so that two cannot deadlock: builds, then jobs, then
//! project loads.

use diesel::prelude::*;
use slipway_domain::{BuildId, JobId, ProjectId};

use crate::engine::connection::Conn;
use crate::error::StoreError;
use crate::schema::{builds, jobs, projects};

/// Locks a build and the states of its jobs until the transaction ends.
pub(crate) fn lock_build(conn: &mut Conn, build: BuildId) -> Result<(), StoreError> {
    if let Conn::Postgres(conn) = conn {
        builds::table
            .find(build.0)
            .select(builds::id)
            .for_update()
            .load::<i64>(conn)?;
    }
    Ok(())
}

/// Locks a project against changes and new builds until the transaction ends.
pub(crate) fn lock_project(conn: &mut Conn, project: ProjectId) -> Result<(), StoreError> {
    if let Conn::Postgres(conn) = conn {
        projects::table
            .find(project.0)
            .select(projects::id)
            .for_update()
            .load::<i64>(conn)?;
    }
    Ok(())
}

/// Locks a job's row, its trace and its artifacts until the transaction ends.
pub(crate) fn lock_job(conn: &mut Conn, job: JobId) -> Result<(), StoreError> {
    if let Conn::Postgres(conn) = conn {
        jobs::table
            .find(job.0)
            .select(jobs::id)
            .for_update()
            .load::<i64>(conn)?;
    }
    Ok(())
}

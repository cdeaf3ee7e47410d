//! Reads jobs.

use diesel::prelude::*;
use slipway_domain::{BuildId, JobId, ProjectId};

use crate::engine::connection::Conn;
use crate::engine::locks;
use crate::engine::page::{Page, rows};
use crate::error::{OrMissing, StoreError};
use crate::jobs::row::{Job, JobRow};
use crate::schema::jobs;

/// Reads a job by its id.
///
/// # Errors
/// `NotFound` if it does not exist.
pub fn get(conn: &mut Conn, id: JobId) -> Result<Job, StoreError> {
    jobs::table
        .find(id.0)
        .first::<JobRow>(conn)
        .or_missing("job")?
        .try_into()
}

/// Reads a job and locks it, its trace and its artifacts until the transaction ends. A transaction
/// that also locks the job's build must lock the build first.
pub fn get_locked(conn: &mut Conn, id: JobId) -> Result<Job, StoreError> {
    locks::lock_job(conn, id)?;
    get(conn, id)
}

/// All attempts of a build's jobs, oldest first.
pub fn of_build(conn: &mut Conn, build: BuildId) -> Result<Vec<Job>, StoreError> {
    collect(
        jobs::table
            .filter(jobs::build_id.eq(build.0))
            .order(jobs::id)
            .load(conn)?,
    )
}

/// The latest attempts of the jobs of several builds, oldest first.
pub fn latest_of_builds(conn: &mut Conn, builds: &[BuildId]) -> Result<Vec<Job>, StoreError> {
    let builds = builds.iter().map(|build| build.0);
    collect(
        jobs::table
            .filter(jobs::build_id.eq_any(builds))
            .filter(jobs::superseded.eq(false))
            .order(jobs::id)
            .load(conn)?,
    )
}

/// The jobs of a project, newest first.
pub fn of_project(conn: &mut Conn, project: ProjectId, page: Page) -> Result<Vec<Job>, StoreError> {
    let rows = jobs::table
        .filter(
            jobs::project_id
                .eq(project.0)
                .and(jobs::id.lt(page.below())),
        )
        .order(jobs::id.desc())
        .limit(rows(page.limit))
        .load(conn)?;
    collect(rows)
}

pub(crate) fn collect(rows: Vec<JobRow>) -> Result<Vec<Job>, StoreError> {
    rows.into_iter().map(Job::try_from).collect()
}

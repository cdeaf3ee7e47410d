//! Which jobs need which others.

use std::collections::HashMap;

use diesel::prelude::*;
use slipway_domain::pipeline::needs::Need;
use slipway_domain::{BuildId, JobId};

use crate::engine::connection::Conn;
use crate::error::StoreError;
use crate::jobs::queries::collect;
use crate::jobs::row::Job;
use crate::schema::{job_needs, jobs};

/// For each job of a build, the names of the jobs that it needs.
pub fn needs_of_build(
    conn: &mut Conn,
    build: BuildId,
) -> Result<HashMap<JobId, Vec<String>>, StoreError> {
    let rows: Vec<(i64, String)> = job_needs::table
        .inner_join(jobs::table.on(jobs::id.eq(job_needs::needs_job_id)))
        .filter(jobs::build_id.eq(build.0))
        .order(jobs::id)
        .select((job_needs::job_id, jobs::name))
        .load(conn)?;
    let mut needs: HashMap<JobId, Vec<String>> = HashMap::new();
    for (job, need) in rows {
        needs.entry(JobId(job)).or_default().push(need);
    }
    Ok(needs)
}

/// The jobs that `id` needs.
pub fn needs(conn: &mut Conn, id: JobId) -> Result<Vec<Job>, StoreError> {
    let rows = jobs::table
        .inner_join(job_needs::table.on(job_needs::needs_job_id.eq(jobs::id)))
        .filter(job_needs::job_id.eq(id.0))
        .order(jobs::id)
        .select(jobs::all_columns)
        .load(conn)?;
    collect(rows)
}

/// The latest attempts of the jobs that need `id`.
pub fn dependents(conn: &mut Conn, id: JobId) -> Result<Vec<Job>, StoreError> {
    let rows = jobs::table
        .inner_join(job_needs::table.on(job_needs::job_id.eq(jobs::id)))
        .filter(
            job_needs::needs_job_id
                .eq(id.0)
                .and(jobs::superseded.eq(false)),
        )
        .order(jobs::id)
        .select(jobs::all_columns)
        .load(conn)?;
    collect(rows)
}

/// A needed job as the rules of the graph see it.
pub(crate) fn as_need(job: &Job) -> Need {
    Need {
        state: job.state,
        allowed_to_fail: job.allow_failure,
    }
}

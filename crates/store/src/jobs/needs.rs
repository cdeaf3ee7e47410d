//! Which jobs need which others.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::pipeline::needed_results::{LeftImage, NeededResult, missing_result};
use slipway_domain::pipeline::needs::Need;
use slipway_domain::{BuildId, JobId};

use crate::engine::connection::Conn;
use crate::error::StoreError;
use crate::jobs::artifacts::{self, Artifact, Content};
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

/// What `job` uses of the jobs it needs and is missing at `now`, explained to people; `None` if it has
/// everything.
pub fn missing_need(
    conn: &mut Conn,
    job: &Job,
    now: DateTime<Utc>,
) -> Result<Option<String>, StoreError> {
    let mut left = Vec::new();
    for need in needs(conn, job.id)? {
        let mut made = artifacts::of_job(conn, need.id)?;
        made.retain(|artifact| artifact.expires_at.is_none_or(|at| at > now));
        left.push((need, made));
    }
    let results: Vec<NeededResult<'_>> = left.iter().map(needed_result).collect();
    Ok(missing_result(&job.spec, &results))
}

fn needed_result((need, made): &(Job, Vec<Artifact>)) -> NeededResult<'_> {
    let images = made.iter().filter_map(|artifact| match &artifact.content {
        Content::Image {
            reference, digest, ..
        } => Some(if reference == digest {
            LeftImage::NotPushed
        } else {
            LeftImage::Pushed
        }),
        _ => None,
    });
    let is_archive = |artifact: &Artifact| matches!(artifact.content, Content::Archive { .. });
    NeededResult {
        name: &need.name,
        state: need.state,
        spec: &need.spec,
        image: images.max().unwrap_or(LeftImage::None),
        has_files: made.iter().any(is_archive),
    }
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

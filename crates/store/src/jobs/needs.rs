//! Which jobs need which others.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::pipeline::needed_results::{
    LeftFiles, LeftImage, NeededResult, missing_result,
};
use slipway_domain::pipeline::needs::Need;
use slipway_domain::spec::ArtifactRules;
use slipway_domain::{BuildId, JobId, JobSpec};

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

/// The jobs that `id` needs, each with what it made.
pub fn needs_with_artifacts(
    conn: &mut Conn,
    id: JobId,
) -> Result<Vec<(Job, Vec<Artifact>)>, StoreError> {
    let mut all = Vec::new();
    for need in needs(conn, id)? {
        let made = artifacts::of_job(conn, need.id)?;
        all.push((need, made));
    }
    Ok(all)
}

/// What `job` uses of the jobs it needs and is missing at `now`, explained to people; `None` if it has
/// everything.
pub fn missing_need(
    job: &Job,
    needs: &[(Job, Vec<Artifact>)],
    now: DateTime<Utc>,
) -> Option<String> {
    let results = needs
        .iter()
        .map(|(need, made)| needed_result(need, made, now));
    let results: Vec<NeededResult<'_>> = results.collect();
    missing_result(&job.spec, &results)
}

fn needed_result<'a>(need: &'a Job, made: &[Artifact], now: DateTime<Utc>) -> NeededResult<'a> {
    let is_there = |artifact: &&Artifact| artifact.expires_at.is_none_or(|at| at > now);
    let there = || made.iter().filter(is_there);
    let images = there().filter_map(|artifact| match &artifact.content {
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
        files: if there().any(is_archive) {
            LeftFiles::Stored
        } else if need.erased_at.is_some() || has_expired(need, now) {
            LeftFiles::Deleted
        } else {
            LeftFiles::None
        },
    }
}

/// Whether the files of a job, if it left any, have expired. The row of a file is deleted with it.
fn has_expired(job: &Job, now: DateTime<Utc>) -> bool {
    let JobSpec::Script(script) = &job.spec else {
        return false;
    };
    let kept_for = script.artifacts.as_ref().and_then(ArtifactRules::kept_for);
    let (Some(kept_for), Some(finished)) = (kept_for, job.finished_at) else {
        return false;
    };
    let end = finished.checked_add_signed(kept_for);
    end.is_some_and(|end| end <= now)
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

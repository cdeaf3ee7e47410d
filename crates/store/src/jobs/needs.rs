//! What jobs need of one another, and what the end of one is to those that need it.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::graph::{self, Need};
use slipway_domain::{BuildId, JobId, JobState};

use super::{Changes, Job, advance, collect, get};
use crate::connection::Conn;
use crate::error::StoreError;
use crate::schema::{job_needs, jobs};
use crate::{builds, warm};

/// Of each job of a build the names of those that it needs.
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

/// The latest attempts that need `id`.
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

/// Carries the end of `id` on to the jobs that need it, and to the state of their build. What may
/// run now is kept up to `warm_wait` for a runner that built the project lately.
pub fn settle(
    conn: &mut Conn,
    id: JobId,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    let mut ended = vec![get(conn, id)?];
    let build = ended.first().map(|job| job.build);
    while let Some(job) = ended.pop() {
        if !job.state.is_done() {
            continue;
        }
        for dependent in dependents(conn, job.id)? {
            if dependent.state != JobState::Waiting {
                continue;
            }
            let needed = needs(conn, dependent.id)?;
            let needs: Vec<Need> = needed.iter().map(as_need).collect();
            let Some(event) = graph::next(dependent.when, &needs) else {
                continue;
            };
            changes.jobs.push(dependent.id);
            let state = advance(conn, &dependent, event, now)?;
            if state == JobState::Pending {
                warm::note_pending(conn, &mut changes, &dependent, warm_wait, now)?;
            } else if state.is_done() {
                say_why_skipped(conn, &dependent, &needed)?;
                ended.push(get(conn, dependent.id)?);
            }
        }
    }
    if let Some(build) = build {
        builds::roll_up(conn, build, now)?;
    }
    Ok(changes)
}

/// Notes of a job that was skipped which of those that it needs is the cause.
fn say_why_skipped(conn: &mut Conn, skipped: &Job, needed: &[Job]) -> Result<(), StoreError> {
    let needs: Vec<_> = needed
        .iter()
        .map(|need| (need.name.as_str(), as_need(need)))
        .collect();
    diesel::update(jobs::table.find(skipped.id.0))
        .set(jobs::failure_message.eq(graph::skip_reason(skipped.when, &needs)))
        .execute(conn)?;
    Ok(())
}

/// What the rules of a graph want to know of a job that is needed.
pub(super) fn as_need(job: &Job) -> Need {
    Need {
        state: job.state,
        allowed_to_fail: job.allow_failure,
    }
}

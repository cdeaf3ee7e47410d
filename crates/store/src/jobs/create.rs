//! Creates jobs.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::pipeline::needs::next_event;
use slipway_domain::{
    BuildId, JobId, JobSpec, JobState, ProjectId, QueueKeyId, RunnerId, UserId, When,
};

use crate::engine::connection::Conn;
use crate::engine::nonces::new_nonce;
use crate::engine::time::to_ms;
use crate::error::StoreError;
use crate::jobs::details::{self, Details};
use crate::jobs::needs::as_need;
use crate::jobs::queries::get;
use crate::jobs::row::Job;
use crate::schema::{job_needs, jobs};

/// The values of a new job.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub build: BuildId,
    pub project: ProjectId,
    pub queue_key: QueueKeyId,
    pub name: String,
    pub stage: String,
    pub spec: JobSpec,
    pub timeout_s: i32,
    /// Whether the build can succeed even if this job fails.
    pub allow_failure: bool,
    /// The jobs that must finish first.
    pub needs: Vec<JobId>,
    pub created_by: Option<UserId>,
    /// On which results of the needed jobs it runs.
    pub when: When,
    pub details: Details,
    /// The attempt that it retries.
    pub retries: Option<Retried>,
}

/// What a new attempt takes over from the previous one.
#[derive(Clone, Copy, Debug)]
pub struct Retried {
    /// The previous attempt.
    pub job: JobId,
    /// The number of the previous attempt.
    pub attempt: i32,
    pub priority: i32,
    /// The runner that lost the previous attempt, and until when it does not get this one.
    pub avoid: Option<(RunnerId, DateTime<Utc>)>,
}

/// Creates a job in the state that follows from the jobs it needs.
pub fn insert(conn: &mut Conn, new: &NewJob, now: DateTime<Utc>) -> Result<Job, StoreError> {
    let mut needs = Vec::with_capacity(new.needs.len());
    for need in &new.needs {
        needs.push(as_need(&get(conn, *need)?));
    }
    // A job whose needs have already finished skips the waiting state.
    let state = match next_event(new.when, &needs) {
        Some(event) => JobState::Waiting.after(event)?,
        None => JobState::Waiting,
    };
    let spec = serde_json::to_string(&new.spec).map_err(|_| StoreError::Corrupt("job spec"))?;
    let avoid = new.retries.and_then(|retried| retried.avoid);
    let id: i64 = diesel::insert_into(jobs::table)
        .values((
            (
                jobs::build_id.eq(new.build.0),
                jobs::project_id.eq(new.project.0),
                jobs::queue_key_id.eq(new.queue_key.0),
                jobs::name.eq(&new.name),
                jobs::stage.eq(&new.stage),
                jobs::spec.eq(spec),
                jobs::timeout_s.eq(new.timeout_s),
                jobs::allow_failure.eq(new.allow_failure),
                jobs::attempt.eq(new.retries.map_or(1, |retried| retried.attempt + 1)),
                jobs::retries_job_id.eq(new.retries.map(|retried| retried.job.0)),
            ),
            (
                jobs::superseded.eq(false),
                jobs::priority.eq(new.retries.map_or(0, |retried| retried.priority)),
                jobs::state.eq(state.name()),
                jobs::avoid_runner_id.eq(avoid.map(|(runner, _)| runner.0)),
                jobs::avoid_until.eq(avoid.map(|(_, until)| to_ms(until))),
                jobs::created_at.eq(to_ms(now)),
                jobs::queued_at.eq((state == JobState::Pending).then(|| to_ms(now))),
                jobs::finished_at.eq(state.is_done().then(|| to_ms(now))),
                jobs::rev.eq(0),
                jobs::created_by.eq(new.created_by.map(|user| user.0)),
                jobs::run_when.eq(new.when.as_str()),
                jobs::nonce.eq(new_nonce()),
            ),
        ))
        .returning(jobs::id)
        .get_result(conn)?;
    for need in &new.needs {
        diesel::insert_into(job_needs::table)
            .values((job_needs::job_id.eq(id), job_needs::needs_job_id.eq(need.0)))
            .execute(conn)?;
    }
    details::insert(conn, JobId(id), &new.details)?;
    get(conn, JobId(id))
}

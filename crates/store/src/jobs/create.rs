//! Creates jobs.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::pipeline::needs::next_event;
use slipway_domain::{
    BuildId, JobId, JobSpec, JobState, ProjectId, QueueKeyId, RunnerId, UserId, When,
};

use crate::engine::connection::Conn;
use crate::engine::time::to_ms;
use crate::error::StoreError;
use crate::jobs::details::{self, Details};
use crate::jobs::needs::as_need;
use crate::jobs::queries::get;
use crate::jobs::row::Job;
use crate::schema::{job_needs, jobs};

/// What a new job is made of.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The build it belongs to.
    pub build: BuildId,
    /// The project it belongs to.
    pub project: ProjectId,
    /// What it asks of a runner.
    pub queue_key: QueueKeyId,
    /// Its name.
    pub name: String,
    /// Its stage.
    pub stage: String,
    /// What it does.
    pub spec: JobSpec,
    /// How long it may run, in seconds.
    pub timeout_s: i32,
    /// Whether the build succeeds even if it fails.
    pub allow_failure: bool,
    /// The jobs that must succeed first.
    pub needs: Vec<JobId>,
    /// Who caused it.
    pub created_by: Option<UserId>,
    /// When it runs, by what became of those it needs.
    pub when: When,
    /// What is known of few jobs.
    pub details: Details,
    /// The attempt it retries, with the runner that is passed over for a while.
    pub retries: Option<Retried>,
}

/// What a retry takes from the attempt before it.
#[derive(Clone, Copy, Debug)]
pub struct Retried {
    /// The attempt before.
    pub job: JobId,
    /// Its number.
    pub attempt: i32,
    /// Its priority.
    pub priority: i32,
    /// The runner that lost it, and until when that one is passed over.
    pub avoid: Option<(RunnerId, DateTime<Utc>)>,
}

/// Makes a job, in the state that follows from the jobs it needs.
pub fn insert(conn: &mut Conn, new: &NewJob, now: DateTime<Utc>) -> Result<Job, StoreError> {
    let mut needs = Vec::with_capacity(new.needs.len());
    for need in &new.needs {
        needs.push(as_need(&get(conn, *need)?));
    }
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

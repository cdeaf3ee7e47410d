//! A job and its table row.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::{
    BuildId, FailureReason, JobId, JobSpec, JobState, Lease, Nonce, Outcome, Phase, ProjectId,
    QueueKeyId, RunnerId, UserId, When,
};

use crate::engine::nonces::from_opt_nonce;
use crate::engine::time::{from_ms, from_opt_ms, parse, runner_until, to_ms};
use crate::error::StoreError;
use crate::schema::jobs;

/// One attempt of a job, as it was when it was read.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: JobId,
    pub build: BuildId,
    pub project: ProjectId,
    pub queue_key: QueueKeyId,
    /// Unique among the latest attempts of the build.
    pub name: String,
    /// The stage it is shown under.
    pub stage: String,
    pub spec: JobSpec,
    pub timeout_s: i32,
    /// Whether the build can succeed even if this job fails.
    pub allow_failure: bool,
    /// Counts up from 1.
    pub attempt: i32,
    /// The previous attempt.
    pub retries: Option<JobId>,
    /// Whether there is a later attempt.
    pub superseded: bool,
    /// Within a project, jobs with a higher priority run first.
    pub priority: i32,
    pub state: JobState,
    /// A sentence for people.
    pub failure_message: Option<String>,
    /// The runner that runs or ran it.
    pub runner: Option<RunnerId>,
    /// By how much each heartbeat extends the lease.
    pub lease_length: TimeDelta,
    /// The runner that lost the previous attempt, and until when it does not get this one.
    pub avoid: Option<(RunnerId, DateTime<Utc>)>,
    pub created_at: DateTime<Utc>,
    /// When it became pending.
    pub queued_at: Option<DateTime<Utc>>,
    /// When it was claimed.
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// When its trace and artifacts were erased.
    pub erased_at: Option<DateTime<Utc>>,
    pub erased_by: Option<UserId>,
    /// Who created this attempt.
    pub created_by: Option<UserId>,
    /// On which results of the needed jobs it runs.
    pub when: When,
    /// What its tokens are derived from, besides its id. Absent in jobs of earlier versions.
    pub nonce: Option<Nonce>,
    /// Counts the changes of the row.
    pub(super) rev: i64,
}

#[derive(Queryable)]
pub(crate) struct JobRow {
    id: i64,
    build_id: i64,
    project_id: i64,
    queue_key_id: i64,
    name: String,
    stage: String,
    spec: String,
    timeout_s: i32,
    allow_failure: bool,
    attempt: i32,
    retries_job_id: Option<i64>,
    superseded: bool,
    priority: i32,
    state: String,
    phase: Option<String>,
    failure_reason: Option<String>,
    failure_message: Option<String>,
    runner_id: Option<i64>,
    lease_expires_at: Option<i64>,
    lease_ms: Option<i64>,
    avoid_runner_id: Option<i64>,
    avoid_until: Option<i64>,
    created_at: i64,
    queued_at: Option<i64>,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    erased_at: Option<i64>,
    erased_by: Option<i64>,
    rev: i64,
    created_by: Option<i64>,
    run_when: String,
    nonce: Option<String>,
}

impl TryFrom<JobRow> for Job {
    type Error = StoreError;

    fn try_from(row: JobRow) -> Result<Self, StoreError> {
        let state = read_state(&row)?;
        Ok(Self {
            id: JobId(row.id),
            build: BuildId(row.build_id),
            project: ProjectId(row.project_id),
            queue_key: QueueKeyId(row.queue_key_id),
            name: row.name,
            stage: row.stage,
            spec: serde_json::from_str(&row.spec).map_err(|_| StoreError::Corrupt("job spec"))?,
            timeout_s: row.timeout_s,
            allow_failure: row.allow_failure,
            attempt: row.attempt,
            retries: row.retries_job_id.map(JobId),
            superseded: row.superseded,
            priority: row.priority,
            state,
            failure_message: row.failure_message,
            runner: row.runner_id.map(RunnerId),
            lease_length: TimeDelta::milliseconds(row.lease_ms.unwrap_or(0)),
            avoid: runner_until(row.avoid_runner_id, row.avoid_until)?,
            created_at: from_ms(row.created_at)?,
            queued_at: from_opt_ms(row.queued_at)?,
            started_at: from_opt_ms(row.started_at)?,
            finished_at: from_opt_ms(row.finished_at)?,
            erased_at: from_opt_ms(row.erased_at)?,
            erased_by: row.erased_by.map(UserId),
            created_by: row.created_by.map(UserId),
            when: parse(&row.run_when, "time to run")?,
            nonce: from_opt_nonce(row.nonce.as_deref())?,
            rev: row.rev,
        })
    }
}

fn read_state(row: &JobRow) -> Result<JobState, StoreError> {
    let reason = || -> Result<FailureReason, StoreError> {
        parse(
            row.failure_reason.as_deref().unwrap_or_default(),
            "failure reason",
        )
    };
    Ok(match row.state.as_str() {
        "waiting" => JobState::Waiting,
        "manual" => JobState::Manual,
        "pending" => JobState::Pending,
        "running" => {
            // A running job always has a runner and a lease.
            let (Some(runner), Some(expires_at)) = (row.runner_id, row.lease_expires_at) else {
                return Err(StoreError::Corrupt("lease"));
            };
            let lease = Lease {
                runner: RunnerId(runner),
                expires_at: from_ms(expires_at)?,
            };
            JobState::Running(
                lease,
                parse(row.phase.as_deref().unwrap_or_default(), "phase")?,
            )
        }
        "succeeded" => JobState::Done(Outcome::Succeeded),
        "failed" => JobState::Done(Outcome::Failed(reason()?)),
        "canceled" => JobState::Done(Outcome::Canceled),
        "skipped" => JobState::Done(Outcome::Skipped),
        _ => return Err(StoreError::Corrupt("job state")),
    })
}

/// The columns that hold a state. They are always written together.
#[derive(AsChangeset)]
#[diesel(table_name = jobs, treat_none_as_null = true)]
pub(super) struct StateColumns {
    state: &'static str,
    phase: Option<&'static str>,
    failure_reason: Option<&'static str>,
    lease_expires_at: Option<i64>,
}

impl From<JobState> for StateColumns {
    fn from(state: JobState) -> Self {
        let (lease, phase) = match state {
            JobState::Running(lease, phase) => (Some(lease), Some(phase)),
            _ => (None, None),
        };
        let reason = match state {
            JobState::Done(Outcome::Failed(reason)) => Some(reason),
            _ => None,
        };
        Self {
            state: state.name(),
            phase: phase.map(Phase::as_str),
            failure_reason: reason.map(FailureReason::as_str),
            lease_expires_at: lease.map(|lease| to_ms(lease.expires_at)),
        }
    }
}

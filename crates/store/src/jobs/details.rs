//! Values that only some jobs have, in a table of their own.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::retry::RetryRules;
use slipway_domain::{BuildId, BuildStep, Event, InvalidTransition, JobId, JobState, Outcome};

use crate::engine::connection::Conn;
use crate::engine::time::{from_opt_ms, to_ms};
use crate::error::StoreError;
use crate::jobs::row::Job;
use crate::queue::types::ClaimingManager;
use crate::schema::{job_details, jobs, traces};

/// Values that only some jobs have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The key of its step in the submitted graph.
    pub step_key: Option<String>,
    /// The display name, if it differs from the name.
    pub label: Option<String>,
    /// When it is retried automatically.
    pub retry: Option<RetryRules>,
    /// The exit code of its last command.
    pub exit_code: Option<i32>,
    /// The submitter's code for why it failed.
    pub error_code: Option<String>,
    /// For a canceled job: until when the farm waits for its runner to report that it stopped.
    pub stopping_until: Option<DateTime<Utc>>,
    /// The steps of its image build that have started so far.
    pub build_steps: Vec<BuildStep>,
    /// Which manager of its runner runs it: the manager's system id.
    pub system_id: Option<String>,
    /// Whether that manager ends the job gracefully when it is canceled.
    pub graceful: bool,
    /// Whether the stored trace differs from what the runner reports to have sent.
    pub trace_incomplete: bool,
    /// How many bytes of its output the trace lacks because of the limit. Not stored here.
    pub trace_missing_bytes: u64,
}

type Row = (
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i32>,
    Option<String>,
    Option<i64>,
    Option<String>,
    Option<String>,
    bool,
    bool,
);

fn read(
    (
        step_key,
        label,
        retry,
        exit_code,
        error_code,
        stopping,
        steps,
        system_id,
        graceful,
        trace_incomplete,
    ): Row,
) -> Result<Details, StoreError> {
    let steps = steps.map(|text| serde_json::from_str(&text)).transpose();
    let retry = retry.map(|text| serde_json::from_str(&text)).transpose();
    Ok(Details {
        step_key,
        label,
        retry: retry.map_err(|_| StoreError::Corrupt("retry rules"))?,
        exit_code,
        error_code,
        stopping_until: from_opt_ms(stopping)?,
        build_steps: steps
            .map_err(|_| StoreError::Corrupt("build steps"))?
            .unwrap_or_default(),
        system_id,
        graceful,
        trace_incomplete,
        trace_missing_bytes: 0,
    })
}

const COLUMNS: (
    job_details::step_key,
    job_details::label,
    job_details::retry,
    job_details::exit_code,
    job_details::error_code,
    job_details::stopping_until,
    job_details::build_steps,
    job_details::system_id,
    job_details::graceful,
    job_details::trace_incomplete,
) = (
    job_details::step_key,
    job_details::label,
    job_details::retry,
    job_details::exit_code,
    job_details::error_code,
    job_details::stopping_until,
    job_details::build_steps,
    job_details::system_id,
    job_details::graceful,
    job_details::trace_incomplete,
);

/// Stores the details of a new job. Most jobs have none and get no row.
pub(super) fn insert(conn: &mut Conn, job: JobId, details: &Details) -> Result<(), StoreError> {
    if *details == Details::default() {
        return Ok(());
    }
    let retry = details
        .retry
        .as_ref()
        .map(serde_json::to_string)
        .transpose();
    diesel::insert_into(job_details::table)
        .values((
            job_details::job_id.eq(job.0),
            job_details::step_key.eq(&details.step_key),
            job_details::label.eq(&details.label),
            job_details::retry.eq(retry.map_err(|_| StoreError::Corrupt("retry rules"))?),
        ))
        .execute(conn)?;
    Ok(())
}

/// The details of a job; the default if it has none.
pub fn details_of(conn: &mut Conn, job: JobId) -> Result<Details, StoreError> {
    let row: Option<Row> = job_details::table
        .find(job.0)
        .select(COLUMNS)
        .first(conn)
        .optional()?;
    let mut details = row.map_or_else(|| Ok(Details::default()), read)?;
    let missing: Option<Option<i64>> = traces::table
        .find(job.0)
        .select(traces::tail_start)
        .first(conn)
        .optional()?;
    details.trace_missing_bytes = missing.flatten().map_or(0, bytes);
    Ok(details)
}

/// The details of all jobs of some builds. Jobs without any are left out.
pub fn details_of_builds(
    conn: &mut Conn,
    builds: &[BuildId],
) -> Result<HashMap<JobId, Details>, StoreError> {
    let rows: Vec<(i64, Row)> = job_details::table
        .inner_join(jobs::table.on(jobs::id.eq(job_details::job_id)))
        .filter(jobs::build_id.eq_any(builds.iter().map(|build| build.0)))
        .select((job_details::job_id, COLUMNS))
        .load(conn)?;
    let rows = rows
        .into_iter()
        .map(|(id, row)| Ok((JobId(id), read(row)?)));
    let mut details: HashMap<JobId, Details> = rows.collect::<Result<_, StoreError>>()?;
    let cut: Vec<(i64, Option<i64>)> = traces::table
        .inner_join(jobs::table.on(jobs::id.eq(traces::job_id)))
        .filter(jobs::build_id.eq_any(builds.iter().map(|build| build.0)))
        .filter(traces::tail_start.gt(0_i64))
        .select((traces::job_id, traces::tail_start))
        .load(conn)?;
    for (id, missing) in cut {
        let details = details.entry(JobId(id)).or_default();
        details.trace_missing_bytes = missing.map_or(0, bytes);
    }
    Ok(details)
}

fn bytes(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// Records the exit code of a job's last command, and the submitter's code for why the job failed.
pub fn record_exit(
    conn: &mut Conn,
    job: JobId,
    exit_code: Option<i32>,
    error_code: Option<&str>,
) -> Result<(), StoreError> {
    ensure_row(conn, job)?;
    diesel::update(job_details::table.find(job.0))
        .set((
            job_details::exit_code.eq(exit_code),
            job_details::error_code.eq(error_code),
        ))
        .execute(conn)?;
    Ok(())
}

/// Records the steps of a job's image build.
pub fn record_build_steps(
    conn: &mut Conn,
    job: JobId,
    steps: &[BuildStep],
) -> Result<(), StoreError> {
    let steps = serde_json::to_string(steps).map_err(|_| StoreError::Corrupt("build steps"))?;
    ensure_row(conn, job)?;
    diesel::update(job_details::table.find(job.0))
        .set(job_details::build_steps.eq(steps))
        .execute(conn)?;
    Ok(())
}

/// Records until when the farm waits for the runner of a canceled job to stop.
pub(super) fn record_stopping(
    conn: &mut Conn,
    job: JobId,
    until: DateTime<Utc>,
) -> Result<(), StoreError> {
    ensure_row(conn, job)?;
    diesel::update(job_details::table.find(job.0))
        .set(job_details::stopping_until.eq(to_ms(until)))
        .execute(conn)?;
    Ok(())
}

/// Records that the runner of a canceled job has stopped. Returns whether the farm waited for it.
pub fn record_stopped(conn: &mut Conn, job: JobId) -> Result<bool, StoreError> {
    let changed = diesel::update(
        job_details::table
            .find(job.0)
            .filter(job_details::stopping_until.is_not_null()),
    )
    .set(job_details::stopping_until.eq(None::<i64>))
    .execute(conn)?;
    Ok(changed > 0)
}

/// Records which manager of its runner claimed a job, and whether that manager ends it gracefully
/// when it is canceled.
pub(crate) fn record_manager(
    conn: &mut Conn,
    job: JobId,
    manager: &ClaimingManager,
) -> Result<(), StoreError> {
    ensure_row(conn, job)?;
    diesel::update(job_details::table.find(job.0))
        .set((
            job_details::system_id.eq(&manager.system_id),
            job_details::graceful.eq(manager.graceful),
        ))
        .execute(conn)?;
    Ok(())
}

/// Records that the stored trace differs from what the runner reports to have sent.
pub fn record_trace_incomplete(conn: &mut Conn, job: JobId) -> Result<(), StoreError> {
    ensure_row(conn, job)?;
    diesel::update(job_details::table.find(job.0))
        .set(job_details::trace_incomplete.eq(true))
        .execute(conn)?;
    Ok(())
}

/// Whether `job` is canceled and its runner is still ending it gracefully. This lasts until the
/// runner reports that it stopped, or is silent for too long.
pub fn is_ending(conn: &mut Conn, job: &Job, now: DateTime<Utc>) -> Result<bool, StoreError> {
    if job.state != JobState::Done(Outcome::Canceled) {
        return Ok(false);
    }
    let details = details_of(conn, job.id)?;
    Ok(details.graceful && details.stopping_until.is_some_and(|until| now < until))
}

/// Accepts a heartbeat of a runner that is ending a canceled job gracefully.
///
/// # Errors
/// `Refused` if the runner is not ending the job, or no longer.
pub fn renew_ending(conn: &mut Conn, job: &Job, now: DateTime<Utc>) -> Result<(), StoreError> {
    if !is_ending(conn, job, now)? {
        return Err(StoreError::Refused(InvalidTransition {
            from: job.state,
            event: Event::CheckLease { now },
        }));
    }
    record_stopping(conn, job.id, now + job.lease_length)
}

fn ensure_row(conn: &mut Conn, job: JobId) -> Result<(), StoreError> {
    let rows: i64 = job_details::table.find(job.0).count().get_result(conn)?;
    if rows == 0 {
        diesel::insert_into(job_details::table)
            .values(job_details::job_id.eq(job.0))
            .execute(conn)?;
    }
    Ok(())
}

//! What is known of few jobs, in a table of its own.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::retry::RetryRules;
use slipway_domain::{BuildId, BuildStep, Event, InvalidTransition, JobId, JobState, Outcome};

use crate::engine::connection::Conn;
use crate::engine::time::{from_opt_ms, to_ms};
use crate::error::StoreError;
use crate::jobs::row::Job;
use crate::schema::{job_details, jobs};

/// What is known of few jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Its key in the graph that was handed in.
    pub step_key: Option<String>,
    /// What people call it, where that is not its name.
    pub label: Option<String>,
    /// When it is tried again by itself.
    pub retry: Option<RetryRules>,
    /// What its last command ended with.
    pub exit_code: Option<i32>,
    /// Why it failed, in the words of those who handed it in.
    pub error_code: Option<String>,
    /// For a canceled job: until when its runner is waited for to say that it stopped.
    pub stopping_until: Option<DateTime<Utc>>,
    /// The steps of its image build, as far as they came.
    pub build_steps: Vec<BuildStep>,
    /// Which process of its runner has it, by the name of that for its host.
    pub system_id: Option<String>,
    /// Whether that one ends it in its own way when it is canceled.
    pub graceful: bool,
    /// Whether the trace is not what the runner says that it sent.
    pub trace_incomplete: bool,
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

/// Keeps what is known of a new job; most have nothing to keep.
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

/// What is known of a job besides what is known of all.
pub fn details_of(conn: &mut Conn, job: JobId) -> Result<Details, StoreError> {
    let row: Option<Row> = job_details::table
        .find(job.0)
        .select(COLUMNS)
        .first(conn)
        .optional()?;
    row.map_or_else(|| Ok(Details::default()), read)
}

/// The same for the jobs of builds that have any.
pub fn details_of_builds(
    conn: &mut Conn,
    builds: &[BuildId],
) -> Result<HashMap<JobId, Details>, StoreError> {
    let rows: Vec<(i64, Row)> = job_details::table
        .inner_join(jobs::table.on(jobs::id.eq(job_details::job_id)))
        .filter(jobs::build_id.eq_any(builds.iter().map(|build| build.0)))
        .select((job_details::job_id, COLUMNS))
        .load(conn)?;
    rows.into_iter()
        .map(|(id, row)| Ok((JobId(id), read(row)?)))
        .collect()
}

/// Notes what the last command of a job ended with, and why it failed in the words of those who
/// handed it in.
pub fn note_exit(
    conn: &mut Conn,
    job: JobId,
    exit_code: Option<i32>,
    error_code: Option<&str>,
) -> Result<(), StoreError> {
    make_sure(conn, job)?;
    diesel::update(job_details::table.find(job.0))
        .set((
            job_details::exit_code.eq(exit_code),
            job_details::error_code.eq(error_code),
        ))
        .execute(conn)?;
    Ok(())
}

/// Notes the steps of a job's image build.
pub fn note_build_steps(
    conn: &mut Conn,
    job: JobId,
    steps: &[BuildStep],
) -> Result<(), StoreError> {
    let steps = serde_json::to_string(steps).map_err(|_| StoreError::Corrupt("build steps"))?;
    make_sure(conn, job)?;
    diesel::update(job_details::table.find(job.0))
        .set(job_details::build_steps.eq(steps))
        .execute(conn)?;
    Ok(())
}

/// Notes that the runner of a canceled job is waited for to stop.
pub(super) fn note_stopping(
    conn: &mut Conn,
    job: JobId,
    until: DateTime<Utc>,
) -> Result<(), StoreError> {
    make_sure(conn, job)?;
    diesel::update(job_details::table.find(job.0))
        .set(job_details::stopping_until.eq(to_ms(until)))
        .execute(conn)?;
    Ok(())
}

/// Notes that the runner of a canceled job has stopped. Returns whether it was waited for.
pub fn note_stopped(conn: &mut Conn, job: JobId) -> Result<bool, StoreError> {
    let changed = diesel::update(
        job_details::table
            .find(job.0)
            .filter(job_details::stopping_until.is_not_null()),
    )
    .set(job_details::stopping_until.eq(None::<i64>))
    .execute(conn)?;
    Ok(changed > 0)
}

/// Notes which process of its runner took a job, and whether that one ends it in its own way when it
/// is canceled.
pub fn note_taker(
    conn: &mut Conn,
    job: JobId,
    system_id: Option<&str>,
    graceful: bool,
) -> Result<(), StoreError> {
    make_sure(conn, job)?;
    diesel::update(job_details::table.find(job.0))
        .set((
            job_details::system_id.eq(system_id),
            job_details::graceful.eq(graceful),
        ))
        .execute(conn)?;
    Ok(())
}

/// Notes that a job's trace is not what its runner says that it sent.
pub fn note_trace_incomplete(conn: &mut Conn, job: JobId) -> Result<(), StoreError> {
    make_sure(conn, job)?;
    diesel::update(job_details::table.find(job.0))
        .set(job_details::trace_incomplete.eq(true))
        .execute(conn)?;
    Ok(())
}

/// Whether `job` is canceled and its runner is still ending it in its own way: until it says that it
/// did, or is silent for too long.
pub fn is_ending(conn: &mut Conn, job: &Job, now: DateTime<Utc>) -> Result<bool, StoreError> {
    if job.state != JobState::Done(Outcome::Canceled) {
        return Ok(false);
    }
    let details = details_of(conn, job.id)?;
    Ok(details.graceful && details.stopping_until.is_some_and(|until| now < until))
}

/// Takes a sign of life of a runner that is ending a canceled job in its own way.
///
/// # Errors
/// `Refused` when it is not, or not any more.
pub fn renew_ending(conn: &mut Conn, job: &Job, now: DateTime<Utc>) -> Result<(), StoreError> {
    if !is_ending(conn, job, now)? {
        return Err(StoreError::Refused(InvalidTransition {
            from: job.state,
            event: Event::CheckLease { now },
        }));
    }
    note_stopping(conn, job.id, now + job.lease_length)
}

fn make_sure(conn: &mut Conn, job: JobId) -> Result<(), StoreError> {
    let known: i64 = job_details::table.find(job.0).count().get_result(conn)?;
    if known == 0 {
        diesel::insert_into(job_details::table)
            .values(job_details::job_id.eq(job.0))
            .execute(conn)?;
    }
    Ok(())
}

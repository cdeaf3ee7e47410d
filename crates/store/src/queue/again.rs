//! Requests for a job that are sent again because their answer was lost.
//!
//! The id of a request is stored with the job that it claimed, so it needs no row of its own and means
//! something as long as the job runs.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::{ClaimRequestId, JobId, QueueKeyId, RunnerId};

use crate::engine::connection::Conn;
use crate::engine::literals::IsRunning;
use crate::error::StoreError;
use crate::jobs;
use crate::queue::types::{ClaimRequest, Claimed};
use crate::schema::queued_jobs;

/// For how long after the claim the same request renews the lease. A runner that can never read the
/// answer must not keep the job for ever.
const RENEWED_FOR: TimeDelta = TimeDelta::minutes(2);

/// The running job that this request of the runner claimed.
pub fn claimed_by(
    conn: &mut Conn,
    runner: RunnerId,
    request: ClaimRequestId,
) -> Result<Option<JobId>, StoreError> {
    let job: Option<i64> = queued_jobs::table
        .filter(IsRunning)
        .filter(queued_jobs::claim_request.eq(request.to_string()))
        .filter(queued_jobs::runner_id.eq(runner.0))
        .select(queued_jobs::id)
        .first(conn)
        .optional()?;
    Ok(job.map(JobId))
}

/// Renews the lease of the running job that this request of the runner claimed, and returns the job.
pub fn claim_again(
    conn: &mut Conn,
    runner: RunnerId,
    request: ClaimRequestId,
    now: DateTime<Utc>,
) -> Result<Option<JobId>, StoreError> {
    let Some(id) = claimed_by(conn, runner, request)? else {
        return Ok(None);
    };
    let job = jobs::get(conn, id)?;
    if job.started_at.is_some_and(|at| now - at < RENEWED_FOR) {
        jobs::renew(conn, &job, runner, None, now)?;
    }
    Ok(Some(id))
}

/// The answers to `requests` that have claimed a job before, in the order of the requests. Their leases
/// are renewed by [`claim_again`], in a transaction that locks nothing else.
pub(super) fn claimed_before(
    conn: &mut Conn,
    requests: &[ClaimRequest],
) -> Result<Vec<Option<Claimed>>, StoreError> {
    let mut answers = vec![None; requests.len()];
    let ids: Vec<String> = requests
        .iter()
        .filter_map(|request| Some(request.request?.to_string()))
        .collect();
    // Stock runners send no ids, and their batches are spared the query.
    if ids.is_empty() {
        return Ok(answers);
    }
    let rows: Vec<(i64, i64, Option<i64>, Option<String>)> = queued_jobs::table
        .filter(IsRunning)
        .filter(queued_jobs::claim_request.eq_any(ids))
        .select((
            queued_jobs::id,
            queued_jobs::queue_key_id,
            queued_jobs::runner_id,
            queued_jobs::claim_request,
        ))
        .load(conn)?;
    for (id, key, runner, request) in rows {
        let matches = |asked: &ClaimRequest| {
            Some(asked.runner.0) == runner
                && asked.request.map(|request| request.to_string()) == request
        };
        let Some(index) = requests.iter().position(matches) else {
            continue;
        };
        answers[index] = Some(Claimed {
            job: JobId(id),
            key: QueueKeyId(key),
            is_again: true,
        });
    }
    Ok(answers)
}

/// The requests that are in the batch more than once, each with the first of its kind.
pub(super) fn repeats(requests: &[ClaimRequest]) -> BTreeMap<usize, usize> {
    let mut first = HashMap::new();
    let mut repeats = BTreeMap::new();
    for (index, request) in requests.iter().enumerate() {
        if let Some(identity) = request.identity() {
            let known = *first.entry(identity).or_insert(index);
            if known != index {
                repeats.insert(index, known);
            }
        }
    }
    repeats
}

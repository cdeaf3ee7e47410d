//! Runners that built a project recently, and pending jobs that are reserved for one of them for a
//! moment.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::queue::{RunnerActivity, WarmRunner, reserve_for};
use slipway_domain::{JobId, JobSpec, JobState, Outcome, ProjectId, QueueKeyId, RunnerId};

use crate::engine::connection::Conn;
use crate::engine::literals::{IsPending, IsRunning};
use crate::engine::time::{runner_until, to_ms};
use crate::error::StoreError;
use crate::jobs::changes::Changes;
use crate::jobs::row::Job;
use crate::queue::keys;
use crate::runners::queries as runners;
use crate::schema::{jobs, queued_jobs};

/// How many of a project's newest jobs are searched for runners that built it recently.
const RECENT_JOBS: i64 = 64;

/// The runners that built images of a project recently, latest first. Their engines still have
/// layers of the project, which saves work. Only the newest jobs are searched, so that the cost
/// does not grow with the length of the queue.
pub fn recent_runners(conn: &mut Conn, project: ProjectId) -> Result<Vec<RunnerId>, StoreError> {
    let recent = recent_builders(conn, project)?;
    Ok(recent.into_iter().map(|(runner, _)| runner).collect())
}

/// Runner, end time, state and spec of a job.
type Newest = (Option<i64>, Option<i64>, String, String);

/// Like [`recent_runners`], with the end of each runner's latest job in milliseconds.
fn recent_builders(
    conn: &mut Conn,
    project: ProjectId,
) -> Result<Vec<(RunnerId, i64)>, StoreError> {
    let newest: Vec<Newest> = jobs::table
        .filter(jobs::project_id.eq(project.0))
        .order(jobs::id.desc())
        .limit(RECENT_JOBS)
        .select((jobs::runner_id, jobs::finished_at, jobs::state, jobs::spec))
        .load(conn)?;
    let succeeded = JobState::Done(Outcome::Succeeded).name();
    let mut recent: Vec<(RunnerId, i64)> = Vec::new();
    for (runner, finished_at, state, spec) in newest {
        let (Some(runner), Some(finished_at)) = (runner.map(RunnerId), finished_at) else {
            continue;
        };
        // The newest job comes first, so a runner that is already in the list has a later one.
        if state != succeeded || recent.iter().any(|(known, _)| *known == runner) {
            continue;
        }
        let spec: JobSpec = serde_json::from_str(&spec).map_err(|_| StoreError::Corrupt("spec"))?;
        if matches!(spec, JobSpec::ImageBuild(_)) {
            recent.push((runner, finished_at));
        }
    }
    Ok(recent)
}

/// A pending job that is reserved for a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    pub job: JobId,
    pub project: ProjectId,
    pub key: QueueKeyId,
    pub runner: RunnerId,
    /// Until when no other runner gets the job.
    pub until: DateTime<Utc>,
}

/// Job, project, queue key, runner and time.
type ReservationRow = (i64, i64, i64, Option<i64>, Option<i64>);

/// The current reservations: at most about one per runner.
pub fn current(conn: &mut Conn, now: DateTime<Utc>) -> Result<Vec<Reservation>, StoreError> {
    let rows: Vec<ReservationRow> = queued_jobs::table
        .filter(IsPending)
        .filter(queued_jobs::kept_until.gt(to_ms(now)))
        .select((
            queued_jobs::id,
            queued_jobs::project_id,
            queued_jobs::queue_key_id,
            queued_jobs::kept_for_runner_id,
            queued_jobs::kept_until,
        ))
        .load(conn)?;
    let mut reservations = Vec::with_capacity(rows.len());
    for (job, project, key, runner, until) in rows {
        if let Some((runner, until)) = runner_until(runner, until)? {
            reservations.push(Reservation {
                job: JobId(job),
                project: ProjectId(project),
                key: QueueKeyId(key),
                runner,
                until,
            });
        }
    }
    Ok(reservations)
}

/// Adds a new job to `changes`.
pub(crate) fn record_new(
    conn: &mut Conn,
    changes: &mut Changes,
    job: &Job,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    changes.jobs.push(job.id);
    match job.state {
        JobState::Pending => record_pending(conn, changes, job, warm_wait, now),
        _ => Ok(()),
    }
}

/// Adds a job that just became pending to `changes`. It is reserved up to `warm_wait` for one of
/// our busy runners that built its project recently, if there is one.
pub(crate) fn record_pending(
    conn: &mut Conn,
    changes: &mut Changes,
    job: &Job,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let may_be_reserved =
        warm_wait > TimeDelta::zero() && matches!(job.spec, JobSpec::ImageBuild(_));
    let runner = if may_be_reserved {
        runner_for(conn, job, now)?
    } else {
        None
    };
    // Without a reservation, any runner that fits may be woken.
    let Some(runner) = runner else {
        changes.pending.push(job.queue_key);
        return Ok(());
    };
    diesel::update(queued_jobs::table.find(job.id.0))
        .set((
            queued_jobs::kept_for_runner_id.eq(runner.0),
            queued_jobs::kept_until.eq(to_ms(now + warm_wait)),
        ))
        .execute(conn)?;
    changes.reserved.push(job.queue_key);
    Ok(())
}

/// The runner to reserve `job` for. At most one job of a project and one job for a runner are
/// reserved at a time, so that a burst of jobs goes to any free runner.
fn runner_for(
    conn: &mut Conn,
    job: &Job,
    now: DateTime<Utc>,
) -> Result<Option<RunnerId>, StoreError> {
    let reservations = current(conn, now)?;
    if reservations
        .iter()
        .any(|reservation| reservation.project == job.project)
    {
        return Ok(None);
    }
    let recent = recent_builders(conn, job.project)?;
    if recent.is_empty() {
        return Ok(None);
    }
    let ids: Vec<i64> = recent.iter().map(|(runner, _)| runner.0).collect();
    let busy = busy_among(conn, &ids)?;
    let registered = runners::by_ids(conn, &ids)?;
    let mut registered: HashMap<RunnerId, _> = registered
        .into_iter()
        // Stock runners poll only every few seconds and would come too late.
        .filter(|runner| runner.removed_at.is_none() && runner.heartbeat)
        .map(|runner| (runner.id, runner))
        .collect();
    let warm: Vec<WarmRunner> = recent
        .into_iter()
        .filter_map(|(runner, finished_at)| {
            let activity = if busy.contains(&runner.0) {
                RunnerActivity::Busy
            } else if finished_at >= to_ms(now) {
                // Its job ends in this very transaction, so it is about to ask for the next one.
                RunnerActivity::JustFinished
            } else {
                RunnerActivity::Idle
            };
            let view = registered.remove(&runner)?.view(now);
            Some(WarmRunner {
                runner,
                view,
                activity,
            })
        })
        .collect();
    let (requirement, policy) = keys::requirement(conn, job.queue_key)?;
    let avoided = job.avoid.filter(|(_, until)| now < *until);
    let runner = reserve_for(
        &requirement,
        policy,
        avoided.map(|(runner, _)| runner),
        &warm,
    );
    Ok(runner.filter(|runner| {
        reservations
            .iter()
            .all(|reservation| reservation.runner != *runner)
    }))
}

/// The runners among `runners` that run a job.
fn busy_among(conn: &mut Conn, runners: &[i64]) -> Result<HashSet<i64>, StoreError> {
    let busy: Vec<Option<i64>> = jobs::table
        .filter(IsRunning)
        .filter(jobs::runner_id.eq_any(runners))
        .select(jobs::runner_id)
        .distinct()
        .load(conn)?;
    Ok(busy.into_iter().flatten().collect())
}

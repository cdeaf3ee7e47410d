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

/// How many of a project's jobs are looked at for who built it lately.
const LATELY: i64 = 64;

/// The runners that built images of a project lately, the latest first: what they have of it in
/// their engines saves work. It is looked for among the newest jobs alone, so that the cost does not
/// grow with what stands in the queue.
pub fn runners_of(conn: &mut Conn, project: ProjectId) -> Result<Vec<RunnerId>, StoreError> {
    let lately = lately(conn, project)?;
    Ok(lately.into_iter().map(|(runner, _)| runner).collect())
}

/// Runner, end, state and spec of a job.
type Newest = (Option<i64>, Option<i64>, String, String);

/// The same, each with when it ended the last of these jobs.
fn lately(conn: &mut Conn, project: ProjectId) -> Result<Vec<(RunnerId, i64)>, StoreError> {
    let newest: Vec<Newest> = jobs::table
        .filter(jobs::project_id.eq(project.0))
        .order(jobs::id.desc())
        .limit(LATELY)
        .select((jobs::runner_id, jobs::finished_at, jobs::state, jobs::spec))
        .load(conn)?;
    let succeeded = JobState::Done(Outcome::Succeeded).name();
    let mut lately: Vec<(RunnerId, i64)> = Vec::new();
    for (runner, finished_at, state, spec) in newest {
        let (Some(runner), Some(finished_at)) = (runner.map(RunnerId), finished_at) else {
            continue;
        };
        if state != succeeded || lately.iter().any(|(known, _)| *known == runner) {
            continue;
        }
        let spec: JobSpec = serde_json::from_str(&spec).map_err(|_| StoreError::Corrupt("spec"))?;
        if matches!(spec, JobSpec::ImageBuild(_)) {
            lately.push((runner, finished_at));
        }
    }
    Ok(lately)
}

/// A pending job that is kept for a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which.
    pub job: JobId,
    /// Its project.
    pub project: ProjectId,
    /// What it asks of a runner.
    pub key: QueueKeyId,
    /// The runner.
    pub runner: RunnerId,
    /// Until when no other runner gets it.
    pub until: DateTime<Utc>,
}

/// Job, project and key, then runner and time.
type KeptRow = (i64, i64, i64, Option<i64>, Option<i64>);

/// The jobs that are kept now: at most about one for each runner.
pub fn kept(conn: &mut Conn, now: DateTime<Utc>) -> Result<Vec<Kept>, StoreError> {
    let rows: Vec<KeptRow> = queued_jobs::table
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
    let mut kept = Vec::with_capacity(rows.len());
    for (job, project, key, runner, until) in rows {
        if let Some((runner, until)) = runner_until(runner, until)? {
            kept.push(Kept {
                job: JobId(job),
                project: ProjectId(project),
                key: QueueKeyId(key),
                runner,
                until,
            });
        }
    }
    Ok(kept)
}

/// Notes a job that was just made.
pub(crate) fn note_new(
    conn: &mut Conn,
    changes: &mut Changes,
    job: &Job,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    changes.jobs.push(job.id);
    match job.state {
        JobState::Pending => note_pending(conn, changes, job, warm_wait, now),
        _ => Ok(()),
    }
}

/// Notes that `job` has become pending, in whatever way. It is kept up to `warm_wait` for a busy
/// runner of ours that built its project lately, where there is one.
pub(crate) fn note_pending(
    conn: &mut Conn,
    changes: &mut Changes,
    job: &Job,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let may_be_kept = warm_wait > TimeDelta::zero() && matches!(job.spec, JobSpec::ImageBuild(_));
    let runner = match may_be_kept {
        true => runner_for(conn, job, now)?,
        false => None,
    };
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
    changes.kept.push(job.queue_key);
    Ok(())
}

/// The runner that `job` is to be kept for. No more than one job of a project is kept at a time, and
/// no more than one for a runner: a burst goes to whoever is there.
fn runner_for(
    conn: &mut Conn,
    job: &Job,
    now: DateTime<Utc>,
) -> Result<Option<RunnerId>, StoreError> {
    let kept = kept(conn, now)?;
    if kept.iter().any(|kept| kept.project == job.project) {
        return Ok(None);
    }
    let lately = lately(conn, job.project)?;
    if lately.is_empty() {
        return Ok(None);
    }
    let ids: Vec<i64> = lately.iter().map(|(runner, _)| runner.0).collect();
    let busy = busy_among(conn, &ids)?;
    let registered = runners::by_ids(conn, &ids)?;
    let mut registered: HashMap<RunnerId, _> = registered
        .into_iter()
        // Others ask every few seconds, and would be late.
        .filter(|runner| runner.removed_at.is_none() && runner.heartbeat)
        .map(|runner| (runner.id, runner))
        .collect();
    let warm: Vec<WarmRunner> = lately
        .into_iter()
        .filter_map(|(runner, finished_at)| {
            let activity = if busy.contains(&runner.0) {
                RunnerActivity::Busy
            } else if finished_at >= to_ms(now) {
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
    Ok(runner.filter(|runner| kept.iter().all(|kept| kept.runner != *runner)))
}

/// Those of some runners that run a job.
fn busy_among(conn: &mut Conn, runners: &[i64]) -> Result<HashSet<i64>, StoreError> {
    let busy: Vec<Option<i64>> = jobs::table
        .filter(IsRunning)
        .filter(jobs::runner_id.eq_any(runners))
        .select(jobs::runner_id)
        .distinct()
        .load(conn)?;
    Ok(busy.into_iter().flatten().collect())
}

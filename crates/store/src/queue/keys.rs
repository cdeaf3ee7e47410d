//! Queue keys: a project with the tags and features that its runners must have. Jobs with the same
//! requirements share a key.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::queue::{KeyQueue, ProjectPolicy, Requirement};
use slipway_domain::{ProjectId, QueueKeyId, RunnerId};

use crate::engine::connection::Conn;
use crate::engine::literals::{IsPending, PendingQueueRow, PendingQueues};
use crate::engine::time::{from_opt_ms, to_ms};
use crate::error::{OrMissing, StoreError};
use crate::queue::statements;
use crate::schema::{jobs, project_loads, projects, queue_keys};

/// The queue keys with pending jobs, without the jobs, and how many jobs each of their projects
/// runs.
pub fn pending_queues(
    conn: &mut Conn,
) -> Result<(Vec<KeyQueue>, BTreeMap<ProjectId, u32>), StoreError> {
    let rows: Vec<PendingQueueRow> = PendingQueues.load(conn)?;
    let mut running = BTreeMap::new();
    let mut queues = Vec::with_capacity(rows.len());
    for (key, project, tags, shared_runners, max_running, builds_enabled, load) in rows {
        running.insert(ProjectId(project), u32::try_from(load).unwrap_or(0));
        queues.push(KeyQueue {
            key: QueueKeyId(key),
            requirement: read_requirement(project, &tags)?,
            policy: policy(shared_runners, max_running, builds_enabled),
            jobs: Default::default(),
        });
    }
    Ok((queues, running))
}

fn read_requirement(project: i64, list: &str) -> Result<Requirement, StoreError> {
    Requirement::from_list(ProjectId(project), list).map_err(|_| StoreError::Corrupt("tags"))
}

fn policy(shared_runners: bool, max_running: Option<i32>, builds_enabled: bool) -> ProjectPolicy {
    ProjectPolicy {
        shared_runners,
        max_running: max_running.and_then(|limit| u32::try_from(limit).ok()),
        builds_enabled,
    }
}

/// The key of a requirement, created if it does not exist.
pub fn key_for(conn: &mut Conn, requirement: &Requirement) -> Result<QueueKeyId, StoreError> {
    let tags = requirement.to_list();
    statements::ensure_queue_key(conn, requirement.project.0, &tags)?;
    // Another transaction may have created the key first, so the insert cannot return its id.
    let id = queue_keys::table
        .filter(
            queue_keys::project_id
                .eq(requirement.project.0)
                .and(queue_keys::tags.eq(tags)),
        )
        .select(queue_keys::id)
        .first(conn)?;
    Ok(QueueKeyId(id))
}

/// What jobs under `key` require, and what their project allows.
pub fn requirement(
    conn: &mut Conn,
    key: QueueKeyId,
) -> Result<(Requirement, ProjectPolicy), StoreError> {
    let (project, tags, shared, limit, enabled): (i64, String, bool, Option<i32>, bool) =
        queue_keys::table
            .inner_join(projects::table.on(projects::id.eq(queue_keys::project_id)))
            .filter(queue_keys::id.eq(key.0))
            .select((
                queue_keys::project_id,
                queue_keys::tags,
                projects::shared_runners,
                projects::max_running,
                projects::builds_enabled,
            ))
            .first(conn)
            .or_missing("queue key")?;
    let requirement = read_requirement(project, &tags)?;
    Ok((requirement, policy(shared, limit, enabled)))
}

/// The keys with pending jobs of a project that has a limit of running jobs, which may have held
/// them back.
pub(crate) fn held_back_by_limit(
    conn: &mut Conn,
    project: ProjectId,
) -> Result<Vec<QueueKeyId>, StoreError> {
    let limit: Option<i32> = projects::table
        .find(project.0)
        .select(projects::max_running)
        .first(conn)?;
    match limit {
        // Only a project with a limit can have held jobs back.
        Some(_) => pending_keys(conn, project),
        None => Ok(Vec::new()),
    }
}

/// The keys of a project that have pending jobs.
pub fn pending_keys(conn: &mut Conn, project: ProjectId) -> Result<Vec<QueueKeyId>, StoreError> {
    // One look at the index of pending jobs for each key of the project, so that it does not matter how
    // many keys of others have pending jobs.
    let is_pending = jobs::table
        .filter(IsPending)
        .filter(jobs::queue_key_id.eq(queue_keys::id));
    let keys: Vec<i64> = queue_keys::table
        .filter(queue_keys::project_id.eq(project.0))
        .filter(diesel::dsl::exists(is_pending))
        .order(queue_keys::id)
        .select(queue_keys::id)
        .load(conn)?;
    Ok(keys.into_iter().map(QueueKeyId).collect())
}

/// The pending jobs under a queue key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    pub count: i64,
    /// Since when the oldest of them is pending.
    pub oldest: Option<DateTime<Utc>>,
}

impl Backlog {
    fn add(&mut self, since: Option<DateTime<Utc>>) {
        self.count += 1;
        self.oldest = match (self.oldest, since) {
            (Some(oldest), Some(since)) => Some(oldest.min(since)),
            (oldest, since) => oldest.or(since),
        };
    }
}

/// The pending jobs under each queue key that has any. Reads all pending jobs.
pub fn backlogs(conn: &mut Conn) -> Result<HashMap<QueueKeyId, Backlog>, StoreError> {
    let rows: Vec<(i64, i64, Option<i64>)> = jobs::table
        .filter(IsPending)
        .group_by(jobs::queue_key_id)
        .select((
            jobs::queue_key_id,
            diesel::dsl::count_star(),
            diesel::dsl::min(jobs::queued_at),
        ))
        .load(conn)?;
    let backlogs = rows.into_iter().map(|(key, count, oldest)| {
        let oldest = from_opt_ms(oldest)?;
        Ok((QueueKeyId(key), Backlog { count, oldest }))
    });
    backlogs.collect()
}

/// The same as [`backlogs`]; `None` if more than `limit` jobs are pending.
pub fn backlogs_of_few(
    conn: &mut Conn,
    limit: i64,
) -> Result<Option<HashMap<QueueKeyId, Backlog>>, StoreError> {
    let rows: Vec<(i64, Option<i64>)> = jobs::table
        .filter(IsPending)
        // The order of the index, so that no other one is used.
        .order((jobs::queue_key_id, jobs::priority.desc(), jobs::id))
        .limit(limit.saturating_add(1))
        .select((jobs::queue_key_id, jobs::queued_at))
        .load(conn)?;
    if i64::try_from(rows.len()).unwrap_or(i64::MAX) > limit {
        return Ok(None);
    }
    let mut backlogs: HashMap<QueueKeyId, Backlog> = HashMap::new();
    for (key, since) in rows {
        let backlog = backlogs.entry(QueueKeyId(key)).or_default();
        backlog.add(from_opt_ms(since)?);
    }
    Ok(Some(backlogs))
}

/// The first `limit` pending jobs under a queue key.
pub fn backlog(conn: &mut Conn, key: QueueKeyId, limit: i64) -> Result<Backlog, StoreError> {
    let rows: Vec<Option<i64>> = jobs::table
        .filter(IsPending)
        .filter(jobs::queue_key_id.eq(key.0))
        .order((jobs::priority.desc(), jobs::id))
        .limit(limit)
        .select(jobs::queued_at)
        .load(conn)?;
    let mut backlog = Backlog::default();
    for since in rows {
        backlog.add(from_opt_ms(since)?);
    }
    Ok(backlog)
}

/// Whether a job under `key` avoids `runner`, because that runner lost the previous attempt.
pub fn avoids_runner(
    conn: &mut Conn,
    key: QueueKeyId,
    runner: RunnerId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let found: Option<i64> = jobs::table
        .filter(IsPending)
        .filter(jobs::queue_key_id.eq(key.0))
        .filter(jobs::avoid_runner_id.eq(runner.0))
        .filter(jobs::avoid_until.gt(to_ms(now)))
        .select(jobs::id)
        .first(conn)
        .optional()?;
    Ok(found.is_some())
}

/// How many jobs of a project are running.
pub fn running(conn: &mut Conn, project: ProjectId) -> Result<u32, StoreError> {
    let count: i32 = project_loads::table
        .find(project.0)
        .select(project_loads::running)
        .first(conn)?;
    Ok(u32::try_from(count).unwrap_or(0))
}

/// How many jobs of the farm are running.
pub fn running_total(conn: &mut Conn) -> Result<i64, StoreError> {
    let sum: Option<i64> = project_loads::table
        .select(diesel::dsl::sum(project_loads::running))
        .first(conn)?;
    Ok(sum.unwrap_or(0))
}

//! The queue: an index of pending jobs by what they ask for, never a scan.
//!
//! A claim looks at the heads of the lines that its runners can serve. What it costs depends on
//! how many lines there are, not on how many jobs stand in them.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};
use slipway_domain::queue::{Candidate, Capabilities, Line, ProjectPolicy, Requirement, deal};
use slipway_domain::{JobId, JobState, ProjectId, QueueKeyId, RunnerId, TagSet};

use crate::claims::ClaimRequest;
use crate::connection::Conn;
use crate::error::{OrMissing, StoreError};
use crate::per_backend::{self, Claim};
use crate::schema::{builds, jobs, project_loads, projects, queue_keys};
use crate::time::{from_ms, from_opt_ms, to_ms};

/// A job that was just claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Which.
    pub job: JobId,
    /// The requirement it was queued under.
    pub key: QueueKeyId,
}

/// Lines are found by skipping from one key to the next in the index of pending jobs.
const OPEN_LINES: &str = "\
    WITH RECURSIVE open(k) AS ( \
        SELECT min(queue_key_id) FROM jobs WHERE state = 'pending' \
        UNION ALL \
        SELECT (SELECT min(queue_key_id) FROM jobs WHERE state = 'pending' AND queue_key_id > open.k) \
        FROM open WHERE open.k IS NOT NULL \
    ) \
    SELECT q.id AS key, q.project_id AS project_id, q.tags AS tags, \
           p.shared_runners AS shared_runners, p.max_running AS max_running, l.running AS running \
    FROM open JOIN queue_keys q ON q.id = open.k \
    JOIN projects p ON p.id = q.project_id JOIN project_loads l ON l.project_id = q.project_id";

#[derive(QueryableByName)]
struct LineRow {
    #[diesel(sql_type = BigInt)]
    key: i64,
    #[diesel(sql_type = BigInt)]
    project_id: i64,
    #[diesel(sql_type = Text)]
    tags: String,
    #[diesel(sql_type = Bool)]
    shared_runners: bool,
    #[diesel(sql_type = Nullable<Integer>)]
    max_running: Option<i32>,
    #[diesel(sql_type = Integer)]
    running: i32,
}

/// One pending job at the head of its line.
#[derive(QueryableByName, Queryable)]
pub(crate) struct HeadRow {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) key: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) build_id: i64,
    #[diesel(sql_type = Integer)]
    pub(crate) priority: i32,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) avoid_runner_id: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) avoid_until: Option<i64>,
}

/// The lines in which jobs stand, without the jobs, and how many jobs each project runs.
pub fn open_lines(conn: &mut Conn) -> Result<(Vec<Line>, BTreeMap<ProjectId, u32>), StoreError> {
    let rows: Vec<LineRow> = diesel::sql_query(OPEN_LINES).load(conn)?;
    let mut running = BTreeMap::new();
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        running.insert(
            ProjectId(row.project_id),
            u32::try_from(row.running).unwrap_or(0),
        );
        lines.push(Line {
            key: QueueKeyId(row.key),
            requirement: Requirement {
                project: ProjectId(row.project_id),
                tags: read_tags(&row.tags)?,
            },
            policy: policy(row.shared_runners, row.max_running),
            jobs: Default::default(),
        });
    }
    Ok((lines, running))
}

pub(crate) fn read_tags(list: &str) -> Result<TagSet, StoreError> {
    TagSet::from_list(list).map_err(|_| StoreError::Corrupt("tags"))
}

fn policy(shared_runners: bool, max_running: Option<i32>) -> ProjectPolicy {
    ProjectPolicy {
        shared_runners,
        max_running: max_running.and_then(|limit| u32::try_from(limit).ok()),
    }
}

/// The key of a requirement, made when it is new.
pub fn key_for(conn: &mut Conn, requirement: &Requirement) -> Result<QueueKeyId, StoreError> {
    let tags = requirement.tags.to_list();
    per_backend::ensure_queue_key(conn, requirement.project.0, &tags)?;
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

/// What jobs under `key` ask for, and what their project allows.
pub fn requirement(
    conn: &mut Conn,
    key: QueueKeyId,
) -> Result<(Requirement, ProjectPolicy), StoreError> {
    let (project, tags, shared, limit): (i64, String, bool, Option<i32>) = queue_keys::table
        .inner_join(projects::table.on(projects::id.eq(queue_keys::project_id)))
        .filter(queue_keys::id.eq(key.0))
        .select((
            queue_keys::project_id,
            queue_keys::tags,
            projects::shared_runners,
            projects::max_running,
        ))
        .first(conn)
        .or_missing("queue key")?;
    let requirement = Requirement {
        project: ProjectId(project),
        tags: read_tags(&tags)?,
    };
    Ok((requirement, policy(shared, limit)))
}

/// The keys of a project in which jobs stand that its limit may have held back.
pub(crate) fn held_back_by_limit(
    conn: &mut Conn,
    project: ProjectId,
) -> Result<Vec<QueueKeyId>, StoreError> {
    let limit: Option<i32> = projects::table
        .find(project.0)
        .select(projects::max_running)
        .first(conn)?;
    if limit.is_none() {
        return Ok(Vec::new());
    }
    let (lines, _) = open_lines(conn)?;
    let of_project = lines
        .into_iter()
        .filter(|line| line.requirement.project == project);
    Ok(of_project.map(|line| line.key).collect())
}

/// How many jobs stand in a line, and since when the one that came first does.
pub fn standing(
    conn: &mut Conn,
    key: QueueKeyId,
) -> Result<(i64, Option<DateTime<Utc>>), StoreError> {
    let (count, oldest): (i64, Option<i64>) = jobs::table
        .filter(diesel::dsl::sql::<Bool>("state = 'pending'"))
        .filter(jobs::queue_key_id.eq(key.0))
        .select((diesel::dsl::count_star(), diesel::dsl::min(jobs::queued_at)))
        .first(conn)?;
    Ok((count, from_opt_ms(oldest)?))
}

/// Whether a job that stands under `key` passes `runner` over, as that one lost the attempt before.
pub fn passes_over(
    conn: &mut Conn,
    key: QueueKeyId,
    runner: RunnerId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let found: Option<i64> = jobs::table
        .filter(diesel::dsl::sql::<Bool>("state = 'pending'"))
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

/// How many jobs are running in the farm.
pub fn running_in_all(conn: &mut Conn) -> Result<i64, StoreError> {
    let sum: Option<i64> = project_loads::table
        .select(diesel::dsl::sum(project_loads::running))
        .first(conn)?;
    Ok(sum.unwrap_or(0))
}

/// Deals pending jobs to all of `requests` at once; the answers are in the order of the requests.
pub(crate) fn claim_batch(
    conn: &mut Conn,
    requests: &[ClaimRequest],
) -> Result<Vec<Option<Claimed>>, StoreError> {
    let mut answers = vec![None; requests.len()];
    let mut taken = HashSet::new();
    let Some(now) = requests.iter().map(|request| request.now).max() else {
        return Ok(answers);
    };
    loop {
        let waiting: Vec<usize> = (0..requests.len())
            .filter(|index| answers[*index].is_none())
            .collect();
        let round = claim_round(conn, requests, &waiting, &mut taken, now)?;
        for (index, claimed) in round.claimed {
            answers[index] = Some(claimed);
        }
        if !round.worth_another {
            return Ok(answers);
        }
    }
}

struct Round {
    claimed: Vec<(usize, Claimed)>,
    /// Whether some line was longer than what was looked at, and somebody still waits.
    worth_another: bool,
}

fn claim_round(
    conn: &mut Conn,
    requests: &[ClaimRequest],
    waiting: &[usize],
    taken: &mut HashSet<i64>,
    now: DateTime<Utc>,
) -> Result<Round, StoreError> {
    let done = Round {
        claimed: Vec::new(),
        worth_another: false,
    };
    let (mut lines, mut running) = open_lines(conn)?;
    let kinds: HashSet<&Capabilities> = waiting
        .iter()
        .map(|index| &requests[*index].capabilities)
        .collect();
    lines.retain(|line| {
        kinds
            .iter()
            .any(|kind| kind.can_serve(&line.requirement, line.policy))
    });
    if lines.is_empty() || waiting.is_empty() {
        return Ok(done);
    }
    // Enough heads that a fair deal seldom runs out of a line, and a bounded number in all.
    let depth = 8 + 4 * waiting.len().div_ceil(lines.len()) + taken.len();
    let keys: Vec<i64> = lines.iter().map(|line| line.key.0).collect();
    let heads = per_backend::heads(conn, &keys, i64::try_from(depth).unwrap_or(i64::MAX))?;
    let mut builds_of = BTreeMap::new();
    let mut fetched: BTreeMap<i64, usize> = BTreeMap::new();
    for head in heads {
        *fetched.entry(head.key).or_default() += 1;
        if taken.contains(&head.id) {
            continue;
        }
        let avoid = match (head.avoid_runner_id, head.avoid_until) {
            (Some(runner), Some(until)) => Some((RunnerId(runner), from_ms(until)?)),
            _ => None,
        };
        let candidate = Candidate {
            job: JobId(head.id),
            priority: head.priority,
            avoid,
        };
        if let Some(line) = lines.iter_mut().find(|line| line.key.0 == head.key) {
            builds_of.insert(
                candidate.job,
                (line.key, line.requirement.project, head.build_id),
            );
            line.jobs.push_back(candidate);
        }
    }
    let claimants: Vec<_> = waiting
        .iter()
        .map(|index| (requests[*index].runner, &requests[*index].capabilities))
        .collect();
    let dealt = deal(&mut lines, &mut running, &claimants, now);
    let claims: Vec<Claim<'_>> = waiting
        .iter()
        .zip(dealt)
        .filter_map(|(index, job)| {
            let job = job?;
            let (key, project, build) = *builds_of.get(&job)?;
            Some(Claim {
                index: *index,
                job,
                key,
                project,
                build,
                request: &requests[*index],
            })
        })
        .collect();
    taken.extend(claims.iter().map(|claim| claim.job.0));
    let ran_out = lines.iter().any(|line| {
        line.jobs.is_empty()
            && fetched
                .get(&line.key.0)
                .is_some_and(|count| *count >= depth)
    });
    let kept = take(conn, claims, now)?;
    let lost_some = kept.len() < taken.len();
    let worth_another = kept.len() < waiting.len() && !kept.is_empty() && (ran_out || lost_some);
    let claimed = kept
        .into_iter()
        .map(|claim| {
            (
                claim.index,
                Claimed {
                    job: claim.job,
                    key: claim.key,
                },
            )
        })
        .collect();
    Ok(Round {
        claimed,
        worth_another,
    })
}

/// Makes the claims that nobody else was quicker with, and returns them.
fn take<'a>(
    conn: &mut Conn,
    mut claims: Vec<Claim<'a>>,
    now: DateTime<Utc>,
) -> Result<Vec<Claim<'a>>, StoreError> {
    let mut builds: Vec<i64> = claims.iter().map(|claim| claim.build).collect();
    builds.sort_unstable();
    builds.dedup();
    per_backend::lock_pending_builds(conn, &builds)?;
    per_backend::keep_free(conn, &mut claims)?;
    let mut loads: BTreeMap<ProjectId, i32> = BTreeMap::new();
    for claim in &claims {
        *loads.entry(claim.project).or_default() += 1;
    }
    for (project, count) in loads {
        add_load(conn, project, count)?;
    }
    // The transition of each is the domain's; the rows are written in one go.
    for claim in &claims {
        JobState::Pending.after(slipway_domain::Event::Claim(claim.lease()))?;
    }
    per_backend::write_claims(conn, &claims, now)?;
    diesel::update(builds::table)
        .filter(builds::id.eq_any(&builds).and(builds::state.eq("pending")))
        .set((
            builds::state.eq("running"),
            builds::started_at.eq(to_ms(now)),
        ))
        .execute(conn)?;
    Ok(claims)
}

/// Counts `count` more running jobs, unless that would exceed the project's limit.
fn add_load(conn: &mut Conn, project: ProjectId, count: i32) -> Result<(), StoreError> {
    let limit: Option<i32> = projects::table
        .find(project.0)
        .select(projects::max_running)
        .first(conn)?;
    let most_before = limit.map_or(i32::MAX, |limit| limit.saturating_sub(count));
    let changed = diesel::update(project_loads::table.find(project.0))
        .filter(project_loads::running.le(most_before))
        .set(project_loads::running.eq(project_loads::running + count))
        .execute(conn)?;
    // Another coordinator was quicker: everything is looked at anew.
    if changed == 0 {
        Err(StoreError::Stale)
    } else {
        Ok(())
    }
}

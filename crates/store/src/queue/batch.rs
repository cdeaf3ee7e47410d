//! Makes a batch of claims: reads the heads of the queue keys, deals jobs to runners, and writes the
//! result.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use slipway_domain::queue::{Candidate, Capabilities, KeyQueue, assign_jobs};
use slipway_domain::{Event, JobId, JobState, ProjectId};

use crate::engine::connection::Conn;
use crate::engine::time::runner_until;
use crate::error::StoreError;
use crate::queue::keys::open_lines;
use crate::queue::statements;
use crate::queue::types::{AddedLoad, Claim, ClaimRequest, Claimed};

/// Deals pending jobs to all of `requests` at once; the answers are in the order of the requests.
pub(crate) fn claim_batch(
    conn: &mut Conn,
    requests: &[ClaimRequest],
) -> Result<Vec<Option<Claimed>>, StoreError> {
    let mut answers = vec![None; requests.len()];
    let Some(now) = requests.iter().map(|request| request.now).max() else {
        return Ok(answers);
    };
    // What was looked at once is not looked at again: another coordinator may hold it.
    let mut seen = HashSet::new();
    loop {
        let unserved: Vec<usize> = (0..requests.len())
            .filter(|index| answers[*index].is_none())
            .collect();
        let (mut lines, mut running) = open_lines(conn)?;
        keep_servable(&mut lines, requests, &unserved);
        let heads = fetch_heads(conn, &mut lines, unserved.len(), &seen)?;
        let claimants: Vec<_> = unserved
            .iter()
            .map(|index| (requests[*index].runner, &requests[*index].capabilities))
            .collect();
        let dealt = assign_jobs(&mut lines, &mut running, &claimants, now);
        let claims: Vec<Claim<'_>> = unserved
            .iter()
            .zip(dealt)
            .filter_map(|(index, job)| heads.claim(job?, *index, &requests[*index]))
            .collect();
        let attempted = claims.len();
        seen.extend(claims.iter().map(|claim| claim.job));
        let kept = take(conn, claims, now)?;
        for claim in &kept {
            answers[claim.index] = Some(Claimed {
                job: claim.job,
                key: claim.key,
            });
        }
        // Somebody may have gone without although more is pending: because another coordinator was
        // quicker with what was dealt, or because a line is longer than what was looked at.
        let more = kept.len() < attempted || heads.some_line_ran_out(&lines);
        if attempted == 0 || kept.len() == unserved.len() || !more {
            return Ok(answers);
        }
    }
}

/// Drops the lines that none of the unserved can serve.
fn keep_servable(lines: &mut Vec<KeyQueue>, requests: &[ClaimRequest], unserved: &[usize]) {
    let kinds: HashSet<&Capabilities> = unserved
        .iter()
        .map(|index| &requests[*index].capabilities)
        .collect();
    lines.retain(|line| {
        kinds
            .iter()
            .any(|kind| kind.can_serve(&line.requirement, line.policy))
    });
}

/// What is known of the jobs at the heads of the lines besides what is dealt by.
struct Heads {
    origins: HashMap<JobId, Origin>,
    /// How many jobs were fetched of each line.
    fetched: HashMap<i64, usize>,
    /// How many were asked for.
    depth: usize,
}

#[derive(Clone, Copy)]
struct Origin {
    line: slipway_domain::QueueKeyId,
    project: ProjectId,
    limit: Option<u32>,
    build: i64,
}

impl Heads {
    fn claim<'a>(&self, job: JobId, index: usize, request: &'a ClaimRequest) -> Option<Claim<'a>> {
        let origin = self.origins.get(&job)?;
        Some(Claim {
            index,
            job,
            key: origin.line,
            project: origin.project,
            limit: origin.limit,
            build: origin.build,
            request,
        })
    }

    fn some_line_ran_out(&self, lines: &[KeyQueue]) -> bool {
        lines.iter().any(|line| {
            let fetched = self.fetched.get(&line.key.0).copied().unwrap_or(0);
            line.jobs.is_empty() && fetched >= self.depth
        })
    }
}

/// Puts the first jobs of each line into it: enough that a fair deal to `claimants` seldom runs
/// out of a line, and a bounded number in all.
fn fetch_heads(
    conn: &mut Conn,
    lines: &mut [KeyQueue],
    claimants: usize,
    seen: &HashSet<JobId>,
) -> Result<Heads, StoreError> {
    let depth = 2 + 2 * claimants.div_ceil(lines.len().max(1)) + seen.len();
    let keys: Vec<i64> = lines.iter().map(|line| line.key.0).collect();
    let mut by_key: HashMap<i64, &mut KeyQueue> =
        lines.iter_mut().map(|line| (line.key.0, line)).collect();
    let mut heads = Heads {
        origins: HashMap::new(),
        fetched: HashMap::new(),
        depth,
    };
    for head in statements::heads(conn, &keys, i64::try_from(depth).unwrap_or(i64::MAX))? {
        *heads.fetched.entry(head.key).or_default() += 1;
        let job = JobId(head.id);
        let Some(line) = by_key.get_mut(&head.key) else {
            continue;
        };
        if seen.contains(&job) {
            continue;
        }
        let origin = Origin {
            line: line.key,
            project: line.requirement.project,
            limit: line.policy.max_running,
            build: head.build_id,
        };
        heads.origins.insert(job, origin);
        line.jobs.push_back(Candidate {
            job,
            priority: head.priority,
            avoid: runner_until(head.avoid_runner_id, head.avoid_until)?,
            reserved: runner_until(head.kept_for_runner_id, head.kept_until)?,
        });
    }
    Ok(heads)
}

/// Makes the claims that nobody else was quicker with, and returns them.
///
/// Rows are locked in the order that every other write keeps: builds, jobs, loads.
fn take<'a>(
    conn: &mut Conn,
    mut claims: Vec<Claim<'a>>,
    now: DateTime<Utc>,
) -> Result<Vec<Claim<'a>>, StoreError> {
    if claims.is_empty() {
        return Ok(claims);
    }
    let mut builds: Vec<i64> = claims.iter().map(|claim| claim.build).collect();
    builds.sort_unstable();
    builds.dedup();
    statements::lock_pending_builds(conn, &builds)?;
    statements::keep_free(conn, &mut claims)?;
    add_loads(conn, &claims)?;
    // The transition of each is the domain's; the rows are written in one go.
    for claim in &claims {
        JobState::Pending.after(Event::Claim(claim.lease()))?;
    }
    statements::write_claims(conn, &claims, now)?;
    builds.retain(|build| claims.iter().any(|claim| claim.build == *build));
    statements::begin_builds(conn, &builds, now)?;
    Ok(claims)
}

/// Counts the claimed jobs as running, unless that would exceed the limit of a project.
fn add_loads(conn: &mut Conn, claims: &[Claim<'_>]) -> Result<(), StoreError> {
    let mut added: BTreeMap<ProjectId, AddedLoad> = BTreeMap::new();
    for claim in claims {
        let (project, limit) = (claim.project, claim.limit);
        added
            .entry(project)
            .or_insert(AddedLoad {
                project,
                count: 0,
                limit,
            })
            .count += 1;
    }
    let added: Vec<AddedLoad> = added.into_values().collect();
    statements::guard_limits(conn, &added)?;
    statements::add_loads(conn, &added)
}

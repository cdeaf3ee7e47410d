//! Makes a batch of claims: reads the heads of the queue keys, assigns jobs to runners, and writes
//! the result.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use slipway_domain::queue::{Candidate, Capabilities, KeyQueue, assign_jobs};
use slipway_domain::{Event, JobId, JobState, ProjectId, QueueKeyId};

use crate::engine::connection::Conn;
use crate::engine::time::runner_until;
use crate::error::StoreError;
use crate::jobs::record_manager;
use crate::queue::keys::pending_queues;
use crate::queue::types::{AddedLoad, Claim, ClaimRequest, Claimed};
use crate::queue::{again, statements};

/// Assigns pending jobs to all of `requests` at once. The answers are in the order of the requests.
///
/// A request that has claimed a job before gets the same job, as long as it runs.
pub(crate) fn claim_batch(
    conn: &mut Conn,
    requests: &[ClaimRequest],
) -> Result<Vec<Option<Claimed>>, StoreError> {
    let mut answers = again::claimed_before(conn, requests)?;
    let repeats = again::repeats(requests);
    let Some(now) = requests.iter().map(|request| request.now).max() else {
        return Ok(answers);
    };
    assign(conn, requests, &repeats, &mut answers, now)?;
    for (index, first) in repeats {
        let claimed = answers[first];
        answers[index] = claimed.map(|claimed| Claimed {
            is_again: true,
            ..claimed
        });
    }
    Ok(answers)
}

/// Assigns pending jobs to the requests that have no answer yet, except to `repeats` of others.
fn assign(
    conn: &mut Conn,
    requests: &[ClaimRequest],
    repeats: &BTreeMap<usize, usize>,
    answers: &mut [Option<Claimed>],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    // A job is tried only once per batch, because another coordinator may have locked it.
    let mut seen = HashSet::new();
    loop {
        let unserved: Vec<usize> = (0..requests.len())
            .filter(|index| answers[*index].is_none() && !repeats.contains_key(index))
            .collect();
        if unserved.is_empty() {
            return Ok(());
        }
        let (mut queues, mut running) = pending_queues(conn)?;
        retain_servable(&mut queues, requests, &unserved);
        let heads = fetch_heads(conn, &mut queues, unserved.len(), &seen)?;
        let claimants: Vec<_> = unserved
            .iter()
            .map(|index| (requests[*index].runner, &requests[*index].capabilities))
            .collect();
        let assigned = assign_jobs(&mut queues, &mut running, &claimants, now);
        let claims: Vec<Claim<'_>> = unserved
            .iter()
            .zip(assigned)
            .filter_map(|(index, job)| heads.claim(job?, *index, &requests[*index]))
            .collect();
        let claims_tried = claims.len();
        seen.extend(claims.iter().map(|claim| claim.job));
        let written = write(conn, claims, now)?;
        for claim in &written {
            answers[claim.index] = Some(Claimed {
                job: claim.job,
                key: claim.key,
                is_again: false,
            });
        }
        // A request may still be without a job although more jobs are pending: another coordinator
        // was faster, or a queue key has more jobs than were fetched.
        let more = written.len() < claims_tried || heads.any_queue_exhausted(&queues);
        if claims_tried == 0 || written.len() == unserved.len() || !more {
            return Ok(());
        }
    }
}

/// Drops the queues that no unserved request can serve.
fn retain_servable(queues: &mut Vec<KeyQueue>, requests: &[ClaimRequest], unserved: &[usize]) {
    // Most runners of a farm have the same capabilities, so each distinct set is checked once.
    let kinds: HashSet<&Capabilities> = unserved
        .iter()
        .map(|index| &requests[*index].capabilities)
        .collect();
    queues.retain(|queue| {
        kinds
            .iter()
            .any(|kind| kind.can_serve(&queue.requirement, queue.policy))
    });
}

/// What a claim needs to know about the jobs at the heads of the queues, besides what the
/// assignment uses.
struct Heads {
    origins: HashMap<JobId, Origin>,
    /// How many jobs were fetched for each queue key.
    fetched: HashMap<i64, usize>,
    /// How many jobs were requested for each queue key.
    depth: usize,
}

#[derive(Clone, Copy)]
struct Origin {
    key: QueueKeyId,
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
            key: origin.key,
            project: origin.project,
            limit: origin.limit,
            build: origin.build,
            request,
        })
    }

    fn any_queue_exhausted(&self, queues: &[KeyQueue]) -> bool {
        queues.iter().any(|queue| {
            let fetched = self.fetched.get(&queue.key.0).copied().unwrap_or(0);
            queue.jobs.is_empty() && fetched >= self.depth
        })
    }
}

/// Fetches the first jobs of each queue: enough that a fair assignment to `claimants` runners seldom
/// exhausts a queue, but a bounded number in all.
fn fetch_heads(
    conn: &mut Conn,
    queues: &mut [KeyQueue],
    claimants: usize,
    seen: &HashSet<JobId>,
) -> Result<Heads, StoreError> {
    // Jobs that were tried before may still be at the head, so as many more are fetched.
    let depth = 2 + 2 * claimants.div_ceil(queues.len().max(1)) + seen.len();
    let keys: Vec<i64> = queues.iter().map(|queue| queue.key.0).collect();
    let mut by_key: HashMap<i64, &mut KeyQueue> = queues
        .iter_mut()
        .map(|queue| (queue.key.0, queue))
        .collect();
    let mut heads = Heads {
        origins: HashMap::new(),
        fetched: HashMap::new(),
        depth,
    };
    for head in statements::heads(conn, &keys, i64::try_from(depth).unwrap_or(i64::MAX))? {
        *heads.fetched.entry(head.key).or_default() += 1;
        let job = JobId(head.id);
        let Some(queue) = by_key.get_mut(&head.key) else {
            continue;
        };
        if seen.contains(&job) {
            continue;
        }
        let origin = Origin {
            key: queue.key,
            project: queue.requirement.project,
            limit: queue.policy.max_running,
            build: head.build_id,
        };
        heads.origins.insert(job, origin);
        queue.jobs.push_back(Candidate {
            job,
            priority: head.priority,
            avoid: runner_until(head.avoid_runner_id, head.avoid_until)?,
            reserved: runner_until(head.kept_for_runner_id, head.kept_until)?,
        });
    }
    Ok(heads)
}

/// Writes the claims for which no other coordinator was faster, and returns them.
///
/// Rows are locked in the order that every other write follows: builds, jobs, loads.
fn write<'a>(
    conn: &mut Conn,
    mut claims: Vec<Claim<'a>>,
    now: DateTime<Utc>,
) -> Result<Vec<Claim<'a>>, StoreError> {
    if claims.is_empty() {
        return Ok(claims);
    }
    let mut builds: Vec<i64> = claims.iter().map(|claim| claim.build).collect();
    // Sorted, so that two coordinators lock the same builds in the same order.
    builds.sort_unstable();
    builds.dedup();
    statements::lock_pending_builds(conn, &builds)?;
    statements::drop_contested(conn, &mut claims)?;
    add_loads(conn, &claims)?;
    // The domain checks each transition; the rows are then written in one go.
    for claim in &claims {
        JobState::Pending.after(Event::Claim(claim.lease()))?;
    }
    statements::write_claims(conn, &claims, now).map_err(|error| match error {
        // The same request claimed a job at another coordinator meanwhile: look again.
        StoreError::Conflict(_) => StoreError::Stale,
        other => other,
    })?;
    for claim in &claims {
        if let Some(manager) = &claim.request.manager {
            record_manager(conn, claim.job, manager)?;
        }
    }
    // A build whose claims were all dropped does not start.
    builds.retain(|build| claims.iter().any(|claim| claim.build == *build));
    statements::start_builds(conn, &builds, now)?;
    Ok(claims)
}

/// Counts the claimed jobs as running, unless that would exceed a project's limit.
fn add_loads(conn: &mut Conn, claims: &[Claim<'_>]) -> Result<(), StoreError> {
    // Sorted by project, so that two coordinators lock the loads in the same order.
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
    statements::check_limits(conn, &added)?;
    statements::add_loads(conn, &added)
}

//! Which pending job each claiming runner gets.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};

use super::requirement::{Capabilities, ProjectPolicy, Requirement};
use crate::ids::{JobId, ProjectId, QueueKeyId, RunnerId};

/// The oldest pending jobs of one queue key, in the order in which they are assigned.
#[derive(Clone, Debug)]
pub struct KeyQueue {
    pub key: QueueKeyId,
    pub requirement: Requirement,
    pub policy: ProjectPolicy,
    /// By descending priority, then by age.
    pub jobs: VecDeque<Candidate>,
}

/// A pending job that can be assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub job: JobId,
    /// Higher goes first within a project.
    pub priority: i32,
    /// The runner that lost the previous attempt, and until when it does not get this job.
    pub avoid: Option<(RunnerId, DateTime<Utc>)>,
    /// The runner this job is reserved for, and until when no other runner gets it.
    pub reserved: Option<(RunnerId, DateTime<Utc>)>,
}

impl Candidate {
    fn is_available_to(&self, runner: RunnerId, now: DateTime<Utc>) -> bool {
        let is_avoided = |(avoided, until)| avoided == runner && now < until;
        let is_reserved_for_other = |(reserved_for, until)| reserved_for != runner && now < until;
        !self.avoid.is_some_and(is_avoided) && !self.reserved.is_some_and(is_reserved_for_other)
    }
}

/// Assigns jobs to runners, in the order of `claimants`.
///
/// Each runner gets a job of the project that runs the fewest jobs; among those the one of highest
/// priority, then the oldest. The result has one entry per claimant: `None` if no job fits.
///
/// `running` counts the running jobs of each project (absent means zero). The function updates it,
/// so that the assignments of one call are fair among themselves.
pub fn assign_jobs(
    queues: &mut [KeyQueue],
    running: &mut BTreeMap<ProjectId, u32>,
    claimants: &[(RunnerId, &Capabilities)],
    now: DateTime<Utc>,
) -> Vec<Option<JobId>> {
    let mut assign_one = |runner: RunnerId, capabilities: &Capabilities| {
        let (queue, position, _) = queues
            .iter()
            .enumerate()
            .filter(|(_, queue)| capabilities.can_serve(&queue.requirement, queue.policy))
            .filter_map(|(index, queue)| {
                let load = running
                    .get(&queue.requirement.project)
                    .copied()
                    .unwrap_or(0);
                if queue.policy.max_running.is_some_and(|limit| load >= limit) {
                    return None;
                }
                // The head may be reserved for another runner, so a job behind it can go first.
                let is_available = |job: &Candidate| job.is_available_to(runner, now);
                let position = queue.jobs.iter().position(is_available)?;
                let candidate = queue.jobs.get(position)?;
                // Load comes first: fairness between projects outranks a project's own priorities.
                let rank = (load, Reverse(candidate.priority), candidate.job);
                Some((index, position, rank))
            })
            .min_by_key(|(_, _, rank)| *rank)?;
        let queue = queues.get_mut(queue)?;
        let candidate = queue.jobs.remove(position)?;
        *running.entry(queue.requirement.project).or_default() += 1;
        Some(candidate.job)
    };
    claimants
        .iter()
        .map(|(runner, capabilities)| assign_one(*runner, capabilities))
        .collect()
}

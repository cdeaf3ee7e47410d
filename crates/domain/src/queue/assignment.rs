//! Which pending job each claiming runner gets.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};

use super::requirement::{Capabilities, ProjectPolicy, Requirement};
use crate::ids::{JobId, ProjectId, QueueKeyId, RunnerId};

/// The oldest pending jobs of one queue key, first to go first.
#[derive(Clone, Debug)]
pub struct Line {
    /// The key.
    pub key: QueueKeyId,
    /// What its jobs ask for.
    pub requirement: Requirement,
    /// What their project allows.
    pub policy: ProjectPolicy,
    /// The jobs, by falling priority and then by age.
    pub jobs: VecDeque<Candidate>,
}

/// One pending job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub job: JobId,
    /// Higher goes first within a project.
    pub priority: i32,
    /// The runner that lost the attempt before this one, and until when it is passed over.
    pub avoid: Option<(RunnerId, DateTime<Utc>)>,
    /// The runner that it is kept for, and until when all others are passed over.
    pub kept: Option<(RunnerId, DateTime<Utc>)>,
}

impl Candidate {
    fn suits(&self, runner: RunnerId, now: DateTime<Utc>) -> bool {
        let is_lost = |(avoided, until)| avoided == runner && now < until;
        let is_kept = |(kept_for, until)| kept_for != runner && now < until;
        !self.avoid.is_some_and(is_lost) && !self.kept.is_some_and(is_kept)
    }
}

/// Deals jobs to runners: to each, in the order they asked, the job whose project runs the
/// fewest, then the one of highest priority, then the oldest.
///
/// `running` counts the running jobs of each project and is kept up to date; a project that is
/// absent has none. A runner for which there is nothing gets `None`.
pub fn deal(
    lines: &mut [Line],
    running: &mut BTreeMap<ProjectId, u32>,
    claimants: &[(RunnerId, &Capabilities)],
    now: DateTime<Utc>,
) -> Vec<Option<JobId>> {
    let mut deal_one = |runner: RunnerId, capabilities: &Capabilities| {
        let (line, position, _) = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| capabilities.can_serve(&line.requirement, line.policy))
            .filter_map(|(index, line)| {
                let load = running.get(&line.requirement.project).copied().unwrap_or(0);
                if line.policy.max_running.is_some_and(|limit| load >= limit) {
                    return None;
                }
                let position = line.jobs.iter().position(|job| job.suits(runner, now))?;
                let candidate = line.jobs.get(position)?;
                let rank = (load, std::cmp::Reverse(candidate.priority), candidate.job);
                Some((index, position, rank))
            })
            .min_by_key(|(_, _, rank)| *rank)?;
        let line = lines.get_mut(line)?;
        let candidate = line.jobs.remove(position)?;
        *running.entry(line.requirement.project).or_default() += 1;
        Some(candidate.job)
    };
    claimants
        .iter()
        .map(|(runner, capabilities)| deal_one(*runner, capabilities))
        .collect()
}

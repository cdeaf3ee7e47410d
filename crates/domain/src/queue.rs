//! Who may run what, who goes first, and why a job still waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, Utc};

use crate::abilities::FeatureSet;
use crate::ids::{JobId, ProjectId, QueueKeyId, RunnerId};
use crate::names::{ABILITY_PREFIX, Invalid, TagSet};

mod warm;

pub use warm::{WarmRunner, Work, reserve_for};

/// Which projects a runner works for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunnerScope {
    /// All projects that let shared runners in.
    Shared,
    /// These projects alone.
    Projects(BTreeSet<ProjectId>),
}

/// What a runner can take. Runners of equal capabilities are interchangeable to the queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Capabilities {
    /// Its tags.
    pub tags: TagSet,
    /// Whether it takes jobs that ask for no tag.
    pub run_untagged: bool,
    /// Which projects it works for.
    pub scope: RunnerScope,
    /// What else it can do, by what it is.
    pub abilities: FeatureSet,
}

/// What all jobs of one queue key ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The project they belong to.
    pub project: ProjectId,
    /// The tags a runner must have.
    pub tags: TagSet,
    /// What else a runner must be able to do.
    pub abilities: FeatureSet,
}

impl Requirement {
    /// Tags and abilities in order, separated by commas: their one stored form.
    pub fn to_list(&self) -> String {
        let tags = self.tags.iter().map(str::to_owned);
        let all: Vec<String> = tags.chain(self.abilities.stored()).collect();
        all.join(",")
    }

    /// Reads what [`Requirement::to_list`] wrote.
    ///
    /// # Errors
    /// A tag or an ability that there is not.
    pub fn from_list(project: ProjectId, list: &str) -> Result<Self, Invalid> {
        let tags = list
            .split(',')
            .filter(|item| !item.starts_with(ABILITY_PREFIX));
        Ok(Self {
            project,
            tags: TagSet::new(tags)?,
            abilities: FeatureSet::of_stored(list.split(','))?,
        })
    }
}

/// What the project of a queue key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProjectPolicy {
    /// Whether shared runners may take its jobs.
    pub shared_runners: bool,
    /// How many of its jobs may run at once; no limit when absent.
    pub max_running: Option<u32>,
    /// Whether the project's jobs are run at all.
    pub builds_enabled: bool,
}

impl Capabilities {
    /// Whether a runner like this may take jobs of `requirement`.
    pub fn can_serve(&self, requirement: &Requirement, policy: ProjectPolicy) -> bool {
        policy.builds_enabled
            && self.in_scope(requirement.project, policy)
            && self.has_tags(&requirement.tags)
            && requirement.abilities.is_subset(&self.abilities)
    }

    fn in_scope(&self, project: ProjectId, policy: ProjectPolicy) -> bool {
        match &self.scope {
            RunnerScope::Shared => policy.shared_runners,
            RunnerScope::Projects(projects) => projects.contains(&project),
        }
    }

    fn has_tags(&self, wanted: &TagSet) -> bool {
        if wanted.is_empty() {
            self.run_untagged
        } else {
            wanted.is_subset(&self.tags)
        }
    }
}

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

/// What the farm knows of one runner when it explains why a job waits.
#[derive(Clone, Debug)]
pub struct RunnerView {
    /// What it can take.
    pub capabilities: Capabilities,
    /// Whether an operator paused it.
    pub paused: bool,
    /// Whether it has been in contact lately.
    pub online: bool,
}

/// Why a pending job has not been claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PendingReason {
    /// Builds are switched off for the project.
    BuildsDisabled,
    /// No runner works for the project at all.
    NoRunnerForProject,
    /// None of the runners that do has the tags; these are missing from the closest one.
    NoRunnerHasTags(Vec<String>),
    /// The job has no tags, and every runner that works for the project insists on some.
    NoRunnerTakesUntagged,
    /// None of the runners with the tags can do all of what the job is; this is missing from the
    /// closest one.
    NoRunnerHasFeatures(Vec<String>),
    /// Every runner that could take it is paused.
    AllPaused,
    /// Every runner that could take it has not been heard of lately.
    AllOffline,
    /// The project runs as many jobs as it may.
    ProjectAtLimit(u32),
    /// It is kept for a busy runner that built the project lately.
    Kept {
        /// Which.
        runner: RunnerId,
        /// Until when no other runner gets it.
        until: DateTime<Utc>,
    },
    /// The runners that could take it have other work.
    AllBusy,
}

/// Explains why a job with `requirement` waits, while its project has `running` jobs running;
/// `kept` is the runner that it is kept for, and until when.
pub fn explain_pending(
    requirement: &Requirement,
    policy: ProjectPolicy,
    running: u32,
    kept: Option<(RunnerId, DateTime<Utc>)>,
    runners: &[RunnerView],
) -> PendingReason {
    if !policy.builds_enabled {
        return PendingReason::BuildsDisabled;
    }
    let in_scope: Vec<&RunnerView> = runners
        .iter()
        .filter(|runner| runner.capabilities.in_scope(requirement.project, policy))
        .collect();
    if in_scope.is_empty() {
        return PendingReason::NoRunnerForProject;
    }
    let able: Vec<&&RunnerView> = in_scope
        .iter()
        .filter(|runner| runner.capabilities.has_tags(&requirement.tags))
        .collect();
    if able.is_empty() {
        let missing = |runner: &&RunnerView| -> Vec<String> {
            requirement
                .tags
                .missing_from(&runner.capabilities.tags)
                .map(str::to_owned)
                .collect()
        };
        return match in_scope.iter().map(missing).min_by_key(Vec::len) {
            Some(tags) if !tags.is_empty() => PendingReason::NoRunnerHasTags(tags),
            _ => PendingReason::NoRunnerTakesUntagged,
        };
    }
    let lacks = |runner: &&&RunnerView| {
        requirement
            .abilities
            .missing_from(&runner.capabilities.abilities)
    };
    let closest = able.iter().map(lacks).min_by_key(Vec::len);
    if let Some(missing) = closest.filter(|missing| !missing.is_empty()) {
        return PendingReason::NoRunnerHasFeatures(missing);
    }
    let able: Vec<_> = able
        .into_iter()
        .filter(|runner| lacks(runner).is_empty())
        .collect();
    if able.iter().all(|runner| runner.paused) {
        PendingReason::AllPaused
    } else if able.iter().all(|runner| runner.paused || !runner.online) {
        PendingReason::AllOffline
    } else if let Some(limit) = policy.max_running.filter(|limit| running >= *limit) {
        PendingReason::ProjectAtLimit(limit)
    } else if let Some((runner, until)) = kept {
        PendingReason::Kept { runner, until }
    } else {
        PendingReason::AllBusy
    }
}

#[cfg(test)]
mod tests;

//! Why a pending job has not been claimed.

use chrono::{DateTime, Utc};

use super::requirement::{Capabilities, ProjectPolicy, Requirement};
use crate::ids::RunnerId;

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
    NoRunnerCan(Vec<String>),
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
pub fn why_pending(
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
        return PendingReason::NoRunnerCan(missing);
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

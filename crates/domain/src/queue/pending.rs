//! Why a pending job has not been claimed.

use chrono::{DateTime, Utc};

use super::requirement::{Capabilities, ProjectPolicy, Requirement};
use crate::ids::RunnerId;

/// The state of one runner, as far as it explains why a job is pending.
#[derive(Clone, Debug)]
pub struct RunnerView {
    pub id: RunnerId,
    pub capabilities: Capabilities,
    /// Whether an operator paused it.
    pub paused: bool,
    /// Whether it contacted the farm recently.
    pub online: bool,
    /// Whether it was registered recently, and so may contact the farm any moment.
    pub is_new: bool,
    /// Why it claims no jobs at the moment, as it reported.
    pub unready: Option<String>,
}

impl RunnerView {
    /// Whether it claims jobs, apart from being busy.
    pub fn is_available(&self) -> bool {
        !self.paused && self.online && self.unready.is_none()
    }
}

/// Why a pending job has not been claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PendingReason {
    /// Builds are disabled for the project.
    BuildsDisabled,
    /// No runner is available to the project.
    NoRunnerForProject,
    /// No runner of the project has all the tags. The closest one lacks these.
    NoRunnerHasTags(Vec<String>),
    /// The job has no tags, and no runner of the project takes untagged jobs.
    NoRunnerTakesUntagged,
    /// No runner with the job's tags has all the required features. The closest one lacks these.
    NoRunnerHasFeatures(Vec<String>),
    /// Every matching runner is paused.
    AllPaused,
    /// Every matching runner that is not paused is offline.
    AllOffline,
    /// Every matching runner that is neither paused nor offline has stopped claiming jobs.
    NoneReady {
        /// One of these runners.
        runner: RunnerId,
        /// Why it has stopped, in its own words.
        why: String,
    },
    /// The project already runs its maximum number of jobs.
    ProjectAtLimit(u32),
    /// The job is reserved for a busy runner that built this project recently.
    Reserved {
        runner: RunnerId,
        /// When the reservation ends.
        until: DateTime<Utc>,
    },
    /// Every matching runner is busy with other jobs.
    AllBusy,
}

/// Explains why a job with `requirement` is pending.
///
/// `running` is the number of running jobs of its project. `reserved` is the runner the job is
/// reserved for, and until when. `runners` are all runners of the farm.
pub fn explain_pending(
    requirement: &Requirement,
    policy: ProjectPolicy,
    running: u32,
    reserved: Option<(RunnerId, DateTime<Utc>)>,
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
    let tagged: Vec<&RunnerView> = in_scope
        .iter()
        .copied()
        .filter(|runner| runner.capabilities.has_tags(&requirement.tags))
        .collect();
    if tagged.is_empty() {
        return missing_tags(requirement, &in_scope);
    }
    let missing_features = |runner: &&RunnerView| {
        requirement
            .features
            .missing_from(&runner.capabilities.features)
    };
    let closest = tagged.iter().map(missing_features).min_by_key(Vec::len);
    if let Some(missing) = closest.filter(|missing| !missing.is_empty()) {
        return PendingReason::NoRunnerHasFeatures(missing);
    }
    let matching: Vec<&RunnerView> = tagged
        .into_iter()
        .filter(|runner| missing_features(runner).is_empty())
        .collect();
    let unready = matching.iter().find_map(|runner| {
        let why = runner.unready.clone()?;
        (!runner.paused && runner.online).then_some((runner.id, why))
    });
    // Without a runner that claims jobs, neither the limit nor a reservation decides anything.
    if matching.iter().all(|runner| runner.paused) {
        PendingReason::AllPaused
    } else if matching
        .iter()
        .all(|runner| runner.paused || !runner.online)
    {
        PendingReason::AllOffline
    } else if let Some((runner, why)) =
        unready.filter(|_| !matching.iter().any(|runner| runner.is_available()))
    {
        PendingReason::NoneReady { runner, why }
    } else if let Some(limit) = policy.max_running.filter(|limit| running >= *limit) {
        PendingReason::ProjectAtLimit(limit)
    } else if let Some((runner, until)) = reserved {
        PendingReason::Reserved { runner, until }
    } else {
        PendingReason::AllBusy
    }
}

/// Whether a runner other than `failed`, which lost or failed a job with `requirement`, may take its
/// next attempt. If there is none, `failed` need not be avoided: the job would only wait.
pub fn has_alternative(
    requirement: &Requirement,
    policy: ProjectPolicy,
    failed: RunnerId,
    runners: &[RunnerView],
) -> bool {
    runners.iter().any(|runner| {
        let is_coming = runner.is_new && !runner.paused;
        runner.id != failed
            && (runner.is_available() || is_coming)
            && runner.capabilities.can_serve(requirement, policy)
    })
}

/// The reason when no runner of the project takes the job's tags.
fn missing_tags(requirement: &Requirement, in_scope: &[&RunnerView]) -> PendingReason {
    let missing = |runner: &&RunnerView| -> Vec<String> {
        requirement
            .tags
            .missing_from(&runner.capabilities.tags)
            .map(str::to_owned)
            .collect()
    };
    match in_scope.iter().map(missing).min_by_key(Vec::len) {
        Some(tags) if !tags.is_empty() => PendingReason::NoRunnerHasTags(tags),
        // Some runner lacks no tag and still does not match, so the job has no tags at all.
        _ => PendingReason::NoRunnerTakesUntagged,
    }
}

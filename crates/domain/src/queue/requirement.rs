//! What jobs require of a runner, and whether a runner can serve them.

use std::collections::BTreeSet;

use crate::ids::ProjectId;
use crate::names::{FEATURE_PREFIX, Invalid, TagSet};
use crate::queue::features::FeatureSet;

/// The projects a runner accepts jobs of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunnerScope {
    /// All projects that allow shared runners.
    Shared,
    /// The projects it is assigned to.
    Projects(BTreeSet<ProjectId>),
}

/// What a runner can run. The queue treats runners with equal capabilities as interchangeable.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Capabilities {
    pub tags: TagSet,
    /// Whether it takes jobs that have no tags.
    pub run_untagged: bool,
    pub scope: RunnerScope,
    pub features: FeatureSet,
}

/// What all jobs of one queue key require.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    pub project: ProjectId,
    /// The tags a runner must have.
    pub tags: TagSet,
    /// The features a runner must have.
    pub features: FeatureSet,
}

impl Requirement {
    /// The stored form: tags and features in order, separated by commas.
    ///
    /// Equal requirements have equal lists, so the list identifies the queue key in its project.
    pub fn to_list(&self) -> String {
        // Tags first, then features: the order is part of the identity of a queue key.
        let tags = self.tags.iter().map(str::to_owned);
        let all: Vec<String> = tags.chain(self.features.stored()).collect();
        all.join(",")
    }

    /// Reads what [`Requirement::to_list`] wrote.
    ///
    /// # Errors
    /// `Invalid` if a tag is malformed or a feature is unknown.
    pub fn from_list(project: ProjectId, list: &str) -> Result<Self, Invalid> {
        let tags = list
            .split(',')
            .filter(|item| !item.starts_with(FEATURE_PREFIX));
        Ok(Self {
            project,
            tags: TagSet::new(tags)?,
            features: FeatureSet::from_stored(list.split(','))?,
        })
    }
}

/// The settings of a project that decide whether and where its jobs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProjectPolicy {
    /// Whether shared runners may take its jobs.
    pub shared_runners: bool,
    /// The maximum number of its jobs that run concurrently; unlimited when `None`.
    pub max_running: Option<u32>,
    /// Whether the project's jobs are run at all.
    pub builds_enabled: bool,
}

impl Capabilities {
    /// Returns true if a runner with these capabilities may take jobs of `requirement`.
    pub fn can_serve(&self, requirement: &Requirement, policy: ProjectPolicy) -> bool {
        policy.builds_enabled
            && self.in_scope(requirement.project, policy)
            && self.has_tags(&requirement.tags)
            && requirement.features.is_subset(&self.features)
    }

    pub(super) fn in_scope(&self, project: ProjectId, policy: ProjectPolicy) -> bool {
        match &self.scope {
            RunnerScope::Shared => policy.shared_runners,
            RunnerScope::Projects(projects) => projects.contains(&project),
        }
    }

    pub(super) fn has_tags(&self, required: &TagSet) -> bool {
        if required.is_empty() {
            self.run_untagged
        } else {
            required.is_subset(&self.tags)
        }
    }
}

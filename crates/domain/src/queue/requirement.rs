//! What jobs require of a runner, and whether a runner can serve them.

use std::collections::BTreeSet;

use crate::ids::ProjectId;
use crate::names::{ABILITY_PREFIX, Invalid, TagSet};
use crate::queue::features::Abilities;

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
    pub abilities: Abilities,
}

/// What all jobs of one queue key ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The project they belong to.
    pub project: ProjectId,
    /// The tags a runner must have.
    pub tags: TagSet,
    /// What else a runner must be able to do.
    pub abilities: Abilities,
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
            abilities: Abilities::of_stored(list.split(','))?,
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

    pub(super) fn in_scope(&self, project: ProjectId, policy: ProjectPolicy) -> bool {
        match &self.scope {
            RunnerScope::Shared => policy.shared_runners,
            RunnerScope::Projects(projects) => projects.contains(&project),
        }
    }

    pub(super) fn has_tags(&self, wanted: &TagSet) -> bool {
        if wanted.is_empty() {
            self.run_untagged
        } else {
            wanted.is_subset(&self.tags)
        }
    }
}

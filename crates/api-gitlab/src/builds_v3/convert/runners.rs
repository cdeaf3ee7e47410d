//! Runners.

use slipway_domain::queue::RunnerScope;
use slipway_farm as farm;

use crate::builds_v3::wire::{Runner, RunnerDetails, RunnerProject};
use crate::convert::timestamp;

impl From<&farm::Runner> for Runner {
    fn from(runner: &farm::Runner) -> Self {
        Self {
            id: runner.id.0,
            description: runner.description.clone(),
            active: !runner.paused,
            is_shared: runner.capabilities.scope == RunnerScope::Shared,
            name: runner.about.name.clone(),
        }
    }
}

impl From<&farm::Project> for RunnerProject {
    fn from(project: &farm::Project) -> Self {
        Self {
            id: project.id.0,
            name: project.name.to_string(),
            name_with_namespace: format!("{} / {}", project.namespace_name, project.name),
            path: project.name.to_string(),
            path_with_namespace: project.path(),
        }
    }
}

/// A runner, with the projects it serves.
pub(crate) fn runner_details(runner: &farm::Runner, served: &[farm::Project]) -> RunnerDetails {
    let about = runner.about.clone();
    RunnerDetails {
        runner: runner.into(),
        tag_list: runner.capabilities.tags.iter().map(str::to_owned).collect(),
        run_untagged: runner.capabilities.run_untagged,
        locked: runner.locked,
        version: about.version,
        revision: about.revision,
        platform: about.platform,
        architecture: about.architecture,
        contacted_at: runner.contact_at.map(timestamp),
        token: None,
        projects: served.iter().map(RunnerProject::from).collect(),
    }
}

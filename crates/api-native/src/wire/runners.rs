//! Runners and the queue.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use slipway_domain::TagSet;
use utoipa::ToSchema;

use super::schemas;

/// A registered runner.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Runner {
    pub(crate) id: i64,
    pub(crate) description: String,
    pub(crate) tags: Vec<String>,
    /// Whether the runner claims jobs without tags.
    pub(crate) run_untagged: bool,
    /// Whether the runner serves all projects that allow shared runners.
    pub(crate) shared: bool,
    /// The ids of the projects that the runner serves. Empty for shared runners.
    pub(crate) projects: Vec<i64>,
    /// Whether the runner cannot be enabled for more projects.
    pub(crate) locked: bool,
    /// Whether the runner is paused and claims no jobs.
    pub(crate) paused: bool,
    /// Whether the runner contacted the coordinator in the last two minutes.
    pub(crate) online: bool,
    /// Whether the runner sends heartbeats even while a job prints nothing.
    pub(crate) heartbeat: bool,
    pub(crate) name: Option<String>,
    /// The version of the runner program.
    pub(crate) version: Option<String>,
    /// The commit from which the runner program was built.
    pub(crate) revision: Option<String>,
    pub(crate) platform: Option<String>,
    /// The processor architecture.
    pub(crate) architecture: Option<String>,
    /// The kind of executor that runs jobs.
    pub(crate) executor: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    /// When the coordinator last received a request from it.
    pub(crate) contact_at: Option<DateTime<Utc>>,
    /// Why the runner claims no jobs at the moment, in its own words. Null while it does.
    pub(crate) unready: Option<String>,
    /// The trust levels of the builds that the runner is dedicated to: `default_branch`, `ref` or
    /// `unverified`. Empty if it claims jobs of all builds.
    pub(crate) trust: Vec<String>,
    /// What the runner reports about the separation of jobs on its host.
    pub(crate) notes: Vec<String>,
}

/// The runner to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRunner {
    #[schema(value_type = schemas::LineText)]
    pub(crate) description: String,
    #[serde(default)]
    #[schema(value_type = Vec<schemas::TagText>, max_items = 50)]
    pub(crate) tags: TagSet,
    /// Whether the runner claims jobs without tags.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub(crate) run_untagged: bool,
    /// Whether the runner cannot be enabled for more projects.
    #[serde(default)]
    pub(crate) locked: bool,
    /// Whether the runner is created paused and claims no jobs.
    #[serde(default)]
    pub(crate) paused: bool,
}

fn yes() -> bool {
    true
}

/// A new runner with its token, which no other response contains.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedRunner {
    /// The runner.
    #[serde(flatten)]
    pub(crate) about: Runner,
    pub(crate) token: String,
}

/// A manager: one of the running programs that share the token of a runner.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunnerManager {
    /// The id that the program sends for its host.
    pub(crate) system_id: String,
    pub(crate) name: Option<String>,
    /// The version of the runner program.
    pub(crate) version: Option<String>,
    /// The commit from which the runner program was built.
    pub(crate) revision: Option<String>,
    pub(crate) platform: Option<String>,
    /// The processor architecture.
    pub(crate) architecture: Option<String>,
    /// The kind of executor that runs jobs.
    pub(crate) executor: Option<String>,
    /// When the coordinator first received a request from it.
    pub(crate) created_at: DateTime<Utc>,
    /// When the coordinator last received a request from it.
    pub(crate) contact_at: DateTime<Utc>,
}

impl From<slipway_farm::Manager> for RunnerManager {
    fn from(manager: slipway_farm::Manager) -> Self {
        let about = manager.about;
        Self {
            system_id: manager.system_id,
            name: about.name,
            version: about.version,
            revision: about.revision,
            platform: about.platform,
            architecture: about.architecture,
            executor: about.executor,
            created_at: manager.created_at,
            contact_at: manager.contact_at,
        }
    }
}

/// Changes to a runner. Absent fields stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunnerChange {
    #[schema(value_type = Option<schemas::LineText>)]
    pub(crate) description: Option<String>,
    #[schema(value_type = Option<Vec<schemas::TagText>>, max_items = 50)]
    pub(crate) tags: Option<TagSet>,
    /// Whether the runner claims jobs without tags.
    pub(crate) run_untagged: Option<bool>,
    /// Whether the runner cannot be enabled for more projects.
    pub(crate) locked: Option<bool>,
    /// Whether the runner is paused and claims no jobs.
    pub(crate) paused: Option<bool>,
}

/// The pending jobs of one project that need the same tags.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueueLine {
    /// `namespace/name` of the project.
    pub(crate) project: String,
    /// The tags that a runner must have.
    pub(crate) tags: Vec<String>,
    /// The number of pending jobs.
    pub(crate) count: i64,
    /// Since when the oldest of them has been pending.
    pub(crate) oldest: Option<DateTime<Utc>>,
    /// Why the jobs are pending.
    pub(crate) reason: PendingReason,
}

/// Why a job has not started.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PendingReason {
    /// The reason for programs: `builds_disabled`, `no_runner_for_project`, `no_runner_has_tags`,
    /// `no_runner_can`, `no_runner_takes_untagged`, `all_paused`, `all_offline`, `project_at_limit`,
    /// `kept_for_runner`, `all_busy`, `needs_jobs` or `manual`.
    pub(crate) code: &'static str,
    /// The reason for people.
    pub(crate) message: String,
}

/// Why a job has not started, if it has not.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobPendingReason {
    /// The reason, or null if the job has started.
    pub(crate) reason: Option<PendingReason>,
}

//! Runners, and the queue that they serve.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use slipway_domain::TagSet;
use utoipa::ToSchema;

/// A registered runner.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Runner {
    /// Its id.
    pub(crate) id: i64,
    /// Free text.
    pub(crate) description: String,
    /// Its tags.
    pub(crate) tags: Vec<String>,
    /// Whether it takes jobs without tags.
    pub(crate) run_untagged: bool,
    /// Whether it serves every project that lets shared runners in.
    pub(crate) shared: bool,
    /// The ids of the projects it serves when it is not shared.
    pub(crate) projects: Vec<i64>,
    /// Whether it serves only projects it is enabled for.
    pub(crate) locked: bool,
    /// Whether it is kept from claiming.
    pub(crate) paused: bool,
    /// Whether it was heard of in the last two minutes.
    pub(crate) online: bool,
    /// Whether it beats apart from its output.
    pub(crate) heartbeat: bool,
    /// The program's name.
    pub(crate) name: Option<String>,
    /// The program's version.
    pub(crate) version: Option<String>,
    /// The commit the program was built from.
    pub(crate) revision: Option<String>,
    /// The operating system.
    pub(crate) platform: Option<String>,
    /// The processor.
    pub(crate) architecture: Option<String>,
    /// How it runs jobs.
    pub(crate) executor: Option<String>,
    /// When it registered.
    pub(crate) created_at: DateTime<Utc>,
    /// When it was last heard of.
    pub(crate) contact_at: Option<DateTime<Utc>>,
}

/// A runner to make before there is a program that is one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRunner {
    /// Free text.
    pub(crate) description: String,
    /// Its tags.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub(crate) tags: TagSet,
    /// Whether it takes jobs without tags.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub(crate) run_untagged: bool,
    /// Whether it serves only projects it is enabled for.
    #[serde(default)]
    pub(crate) locked: bool,
    /// Whether it is kept from claiming until somebody lets it.
    #[serde(default)]
    pub(crate) paused: bool,
}

fn yes() -> bool {
    true
}

/// A runner that was just made, with its token, which is told this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedRunner {
    /// The runner.
    #[serde(flatten)]
    pub(crate) about: Runner,
    /// The token itself.
    pub(crate) token: String,
}

/// One of the processes that share a runner's token.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunnerManager {
    /// The name that it has for its host.
    pub(crate) system_id: String,
    /// The program's name.
    pub(crate) name: Option<String>,
    /// The program's version.
    pub(crate) version: Option<String>,
    /// The commit the program was built from.
    pub(crate) revision: Option<String>,
    /// The operating system.
    pub(crate) platform: Option<String>,
    /// The processor.
    pub(crate) architecture: Option<String>,
    /// How it runs jobs.
    pub(crate) executor: Option<String>,
    /// When it was first heard of.
    pub(crate) created_at: DateTime<Utc>,
    /// When it was last heard of.
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

/// What to change about a runner; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunnerChange {
    /// Free text.
    pub(crate) description: Option<String>,
    /// Its tags.
    #[schema(value_type = Option<Vec<String>>)]
    pub(crate) tags: Option<TagSet>,
    /// Whether it takes jobs without tags.
    pub(crate) run_untagged: Option<bool>,
    /// Whether it serves only projects it is enabled for.
    pub(crate) locked: Option<bool>,
    /// Whether it is kept from claiming.
    pub(crate) paused: Option<bool>,
}

/// The jobs of one project that wait and ask for the same tags.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueueLine {
    /// `namespace/name` of the project.
    pub(crate) project: String,
    /// The tags a runner must have.
    pub(crate) tags: Vec<String>,
    /// How many jobs wait.
    pub(crate) count: i64,
    /// Since when the first of them does.
    pub(crate) oldest: Option<DateTime<Utc>>,
    /// Why.
    pub(crate) reason: PendingReason,
}

/// Why a job has not begun.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PendingReason {
    /// `no_runner_for_project`, `no_runner_has_tags`, `no_runner_can`, `no_runner_takes_untagged`, `all_paused`,
    /// `all_offline`, `project_at_limit`, `kept_for_runner`, `all_busy`, `needs_jobs` or `manual`.
    pub(crate) code: &'static str,
    /// The same in a sentence.
    pub(crate) message: String,
}

/// Whether and why a job waits.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobPendingReason {
    /// Why it waits; null when it does not.
    pub(crate) reason: Option<PendingReason>,
}

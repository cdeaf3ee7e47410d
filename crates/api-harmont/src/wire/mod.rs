//! The objects of this API. A field without a value is there all the same, and null.

use serde::Serialize;
use utoipa::ToSchema;

use crate::states::{BuildWord, JobWord};

/// A build: one run of a pipeline.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Build {
    pub(crate) number: i64,
    pub(crate) state: BuildWord,
    pub(crate) source: Option<String>,
    pub(crate) branch: Option<String>,
    pub(crate) commit: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) error_code: Option<String>,
    pub(crate) error_message: Option<String>,
    pub(crate) pipeline_slug: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = DateTime)]
    pub(crate) scheduled_at: Option<String>,
    #[schema(format = DateTime)]
    pub(crate) started_at: Option<String>,
    #[schema(format = DateTime)]
    pub(crate) finished_at: Option<String>,
}

/// A job: one node of a build's graph.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Job {
    #[schema(format = Uuid)]
    pub(crate) id: String,
    pub(crate) state: JobWord,
    pub(crate) soft_failed: bool,
    pub(crate) depends_on: Vec<String>,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    pub(crate) step_key: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) command: Option<String>,
    pub(crate) exit_code: Option<i32>,
    /// Always null.
    pub(crate) soft_fail_policy: Option<Policy>,
    /// Always null.
    pub(crate) retry_policy: Option<Policy>,
    pub(crate) error_code: Option<String>,
    pub(crate) error_message: Option<String>,
    #[schema(format = DateTime)]
    pub(crate) started_at: Option<String>,
    #[schema(format = DateTime)]
    pub(crate) finished_at: Option<String>,
}

/// A policy, of which there is none.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Policy {}

/// A pipeline.
#[derive(Debug, Serialize)]
pub(crate) struct Pipeline {
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) repository: String,
    pub(crate) default_branch: String,
    pub(crate) visibility: &'static str,
    pub(crate) allow_manual: bool,
    pub(crate) created_at: String,
    pub(crate) repo_name: Option<String>,
    pub(crate) description: Option<String>,
}

/// An organization.
#[derive(Debug, Serialize)]
pub(crate) struct Organization {
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) url: Option<String>,
    pub(crate) created_at: String,
}

/// A personal API token, without its secret.
#[derive(Debug, Serialize)]
pub(crate) struct ApiToken {
    pub(crate) id: String,
    pub(crate) description: String,
    pub(crate) created_at: String,
    pub(crate) expires_at: Option<String>,
    pub(crate) last_used_at: Option<String>,
}

/// A token for the logs of a build's jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogToken {
    pub(crate) token: String,
    /// When it stops working.
    #[schema(format = DateTime)]
    pub(crate) expires_at: String,
}

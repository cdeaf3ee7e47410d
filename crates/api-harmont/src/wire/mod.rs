//! Objects as they are serialized, and what requests contain.
//!
//! Every member of an object is always present, and null if it has no value.

mod fields;
mod log_stream;
mod openapi;
mod page;

use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use self::fields::{Fields, not_blank};
pub(crate) use self::log_stream::{Chunk, StreamQuery};
pub(crate) use self::openapi::{
    BuildPage, ErrorBody, ErrorDetail, JobList, NewBuild, NewBuildBySource,
};
pub(crate) use self::page::PageQuery;
use crate::states::{BuildStatus, JobStatus};

/// A build: one run of a pipeline.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Build {
    pub(crate) number: i64,
    pub(crate) state: BuildStatus,
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

/// A job: one step of a build's graph.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Job {
    #[schema(format = Uuid)]
    pub(crate) id: String,
    pub(crate) state: JobStatus,
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

/// A policy. This farm has none.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Policy {}

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

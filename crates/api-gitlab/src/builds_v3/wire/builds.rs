//! Builds (the farm's jobs), commits, and pipelines (the farm's builds).

use serde::Serialize;
use slipway_protocol::ArtifactsFile;

use super::{Runner, User};

/// A job of the farm.
#[derive(Serialize)]
pub(crate) struct Build {
    pub(crate) id: i64,
    pub(crate) status: &'static str,
    pub(crate) stage: String,
    pub(crate) name: String,
    #[serde(rename = "ref")]
    pub(crate) git_ref: String,
    pub(crate) tag: bool,
    /// Always null: the farm does not measure coverage.
    pub(crate) coverage: Option<f64>,
    pub(crate) created_at: String,
    pub(crate) started_at: Option<String>,
    pub(crate) finished_at: Option<String>,
    pub(crate) user: Option<User>,
    pub(crate) artifacts_file: Option<ArtifactsFile>,
    pub(crate) commit: Option<Commit>,
    pub(crate) runner: Option<Runner>,
    pub(crate) pipeline: PipelineSummary,
}

/// A build as the answer to erase and keep.
#[derive(Serialize)]
pub(crate) struct BuildWithDownload {
    #[serde(flatten)]
    pub(crate) build: Build,
    /// Always null: the farm has no page for downloads.
    pub(crate) download_url: Option<String>,
}

/// The pipeline of a build.
#[derive(Serialize)]
pub(crate) struct PipelineSummary {
    pub(crate) id: i64,
    pub(crate) sha: String,
    #[serde(rename = "ref")]
    pub(crate) git_ref: String,
    pub(crate) status: &'static str,
}

/// A commit, as part of a build.
#[derive(Serialize)]
pub(crate) struct Commit {
    pub(crate) id: String,
    pub(crate) short_id: String,
    pub(crate) title: String,
    pub(crate) author_name: String,
    pub(crate) author_email: String,
    pub(crate) committer_name: String,
    pub(crate) committer_email: String,
    pub(crate) created_at: String,
    pub(crate) message: String,
}

/// A commit, requested by itself.
#[derive(Serialize)]
pub(crate) struct CommitDetails {
    #[serde(flatten)]
    pub(crate) commit: Commit,
    pub(crate) parent_ids: Vec<String>,
    pub(crate) committed_date: String,
    pub(crate) authored_date: String,
    pub(crate) status: Option<&'static str>,
}

/// The result of one job, as a status of its commit.
#[derive(Serialize)]
pub(crate) struct CommitStatus {
    pub(crate) id: i64,
    pub(crate) sha: String,
    #[serde(rename = "ref")]
    pub(crate) git_ref: String,
    pub(crate) status: &'static str,
    pub(crate) name: String,
    pub(crate) target_url: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) created_at: String,
    pub(crate) started_at: Option<String>,
    pub(crate) finished_at: Option<String>,
    pub(crate) allow_failure: bool,
    pub(crate) author: Option<User>,
}

/// A build of the farm.
#[derive(Serialize)]
pub(crate) struct Pipeline {
    pub(crate) id: i64,
    pub(crate) sha: String,
    #[serde(rename = "ref")]
    pub(crate) git_ref: String,
    pub(crate) status: &'static str,
    pub(crate) before_sha: &'static str,
    pub(crate) tag: bool,
    pub(crate) yaml_errors: Option<String>,
    pub(crate) user: Option<User>,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
    pub(crate) started_at: Option<String>,
    pub(crate) finished_at: Option<String>,
    pub(crate) committed_at: Option<String>,
    pub(crate) duration: Option<i64>,
    pub(crate) coverage: Option<f64>,
}

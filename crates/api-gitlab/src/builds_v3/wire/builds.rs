//! What builds, commits and pipelines look like: our jobs, commits and builds.

use chrono::{DateTime, FixedOffset, SecondsFormat};
use serde::Serialize;
use slipway_domain as domain;
use slipway_domain::BuildState;
use slipway_farm::{Content, ListedJob};
use slipway_protocol::ArtifactsFile;

use crate::builds_v3::auth::Call;
use crate::builds_v3::wire::{self, Runner, User};
use crate::convert::{NO_SHA, ref_name, status, timestamp};

/// A build.
#[derive(Serialize)]
pub(crate) struct Build {
    id: i64,
    status: &'static str,
    stage: String,
    name: String,
    #[serde(rename = "ref")]
    git_ref: String,
    tag: bool,
    /// The farm measures none.
    coverage: Option<f64>,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    user: Option<User>,
    artifacts_file: Option<ArtifactsFile>,
    commit: Option<Commit>,
    runner: Option<Runner>,
    pipeline: PipelineOfBuild,
}

/// The pipeline that a build belongs to.
#[derive(Serialize)]
struct PipelineOfBuild {
    id: i64,
    sha: String,
    #[serde(rename = "ref")]
    git_ref: String,
    status: &'static str,
}

/// A job as a build.
pub(crate) fn build(call: &Call, listed: &ListedJob) -> Build {
    let (job, build) = (&listed.job, &listed.build);
    let archive = listed.archive.as_ref();
    Build {
        id: job.id.0,
        status: status(&job.state),
        stage: job.stage.clone(),
        name: job.name.clone(),
        git_ref: ref_name(build.git_ref.as_ref()),
        tag: build.ref_is_tag,
        coverage: None,
        created_at: timestamp(job.created_at),
        started_at: job.started_at.map(timestamp),
        finished_at: job.finished_at.map(timestamp),
        user: listed.user.as_ref().map(|user| wire::user(call, user)),
        artifacts_file: archive.and_then(|archive| match &archive.content {
            Content::Archive { filename, .. } => Some(ArtifactsFile {
                filename: filename.clone(),
                size: archive.size_bytes,
            }),
            Content::Image { .. } | Content::File { .. } => None,
        }),
        commit: listed.commit.as_ref().map(Commit::from),
        runner: listed.runner.as_ref().map(Runner::from),
        pipeline: PipelineOfBuild {
            id: build.id.0,
            sha: build.sha.to_string(),
            git_ref: ref_name(build.git_ref.as_ref()),
            status: pipeline_status(build.state),
        },
    }
}

/// A commit.
#[derive(Serialize)]
pub(crate) struct Commit {
    id: String,
    short_id: String,
    title: String,
    author_name: String,
    author_email: String,
    committer_name: String,
    committer_email: String,
    created_at: String,
    message: String,
}

impl From<&domain::Commit> for Commit {
    fn from(commit: &domain::Commit) -> Self {
        Self {
            id: commit.sha.to_string(),
            short_id: commit.short_id().to_owned(),
            title: commit.title().to_owned(),
            author_name: commit.author.name.clone(),
            author_email: commit.author.email.clone(),
            committer_name: commit.committer.name.clone(),
            committer_email: commit.committer.email.clone(),
            created_at: local_time(commit.committer.at),
            message: commit.message.clone(),
        }
    }
}

/// A commit that is asked for by itself.
#[derive(Serialize)]
pub(crate) struct CommitDetail {
    #[serde(flatten)]
    commit: Commit,
    parent_ids: Vec<String>,
    committed_date: String,
    authored_date: String,
    status: Option<&'static str>,
}

/// A commit with the state of its newest pipeline.
pub(crate) fn commit_detail(commit: &domain::Commit, newest: Option<BuildState>) -> CommitDetail {
    CommitDetail {
        commit: commit.into(),
        parent_ids: commit.parents.iter().map(ToString::to_string).collect(),
        committed_date: local_time(commit.committer.at),
        authored_date: local_time(commit.author.at),
        status: newest.map(pipeline_status),
    }
}

/// A time where it was, as GitLab writes it.
fn local_time(time: DateTime<FixedOffset>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, false)
}

/// What one build says of a commit.
#[derive(Serialize)]
pub(crate) struct CommitStatus {
    id: i64,
    sha: String,
    #[serde(rename = "ref")]
    git_ref: String,
    status: &'static str,
    name: String,
    target_url: Option<String>,
    description: Option<String>,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    allow_failure: bool,
    author: Option<User>,
}

/// A job as a status of its commit.
pub(crate) fn commit_status(call: &Call, listed: &ListedJob) -> CommitStatus {
    let (job, build) = (&listed.job, &listed.build);
    CommitStatus {
        id: job.id.0,
        sha: build.sha.to_string(),
        git_ref: ref_name(build.git_ref.as_ref()),
        status: status(&job.state),
        name: job.name.clone(),
        target_url: None,
        description: job.failure_message.clone(),
        created_at: timestamp(job.created_at),
        started_at: job.started_at.map(timestamp),
        finished_at: job.finished_at.map(timestamp),
        allow_failure: job.allow_failure,
        author: listed.user.as_ref().map(|user| wire::user(call, user)),
    }
}

/// A pipeline.
#[derive(Serialize)]
pub(crate) struct Pipeline {
    id: i64,
    sha: String,
    #[serde(rename = "ref")]
    git_ref: String,
    status: &'static str,
    before_sha: &'static str,
    tag: bool,
    yaml_errors: Option<String>,
    user: Option<User>,
    created_at: String,
    updated_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    committed_at: Option<String>,
    duration: Option<i64>,
    coverage: Option<f64>,
}

/// One of our builds as a pipeline.
pub(crate) fn pipeline(call: &Call, listed: &slipway_farm::ListedBuild) -> Pipeline {
    let build = &listed.build;
    let changed = build.finished_at.or(build.started_at);
    let took = build.finished_at.zip(build.started_at);
    Pipeline {
        id: build.id.0,
        sha: build.sha.to_string(),
        git_ref: ref_name(build.git_ref.as_ref()),
        status: pipeline_status(build.state),
        before_sha: NO_SHA,
        tag: build.ref_is_tag,
        yaml_errors: None,
        user: listed.user.as_ref().map(|user| wire::user(call, user)),
        created_at: timestamp(build.created_at),
        updated_at: timestamp(changed.unwrap_or(build.created_at)),
        started_at: build.started_at.map(timestamp),
        finished_at: build.finished_at.map(timestamp),
        committed_at: (listed.commit.as_ref()).map(|commit| local_time(commit.committer.at)),
        duration: took.map(|(end, start)| (end - start).num_seconds()),
        coverage: None,
    }
}

/// GitLab's word for the state of a pipeline.
fn pipeline_status(state: BuildState) -> &'static str {
    match state {
        BuildState::Pending => "pending",
        BuildState::Running => "running",
        BuildState::Succeeded => "success",
        BuildState::Failed => "failed",
        BuildState::Canceled => "canceled",
        BuildState::Skipped => "skipped",
    }
}

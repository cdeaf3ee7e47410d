//! Jobs as builds, builds as pipelines, and commits.

use chrono::{DateTime, FixedOffset, SecondsFormat};
use slipway_domain::{self as domain, BuildState};
use slipway_farm::{Content, ListedBuild, ListedJob};
use slipway_protocol::ArtifactsFile;

use super::users::user;
use crate::builds_v3::wire::{
    Build, Commit, CommitDetails, CommitStatus, Pipeline, PipelineSummary, Runner,
};
use crate::convert::{ZERO_SHA, job_status, ref_name, timestamp};

/// A job, as a build of GitLab.
pub(crate) fn build(base_url: &str, listed: &ListedJob) -> Build {
    let (job, build) = (&listed.job, &listed.build);
    let archive = listed.archive.as_ref();
    Build {
        id: job.id.0,
        status: job_status(&job.state),
        stage: job.stage.clone(),
        name: job.name.clone(),
        git_ref: ref_name(build.git_ref.as_ref()),
        tag: build.ref_is_tag,
        coverage: None,
        created_at: timestamp(job.created_at),
        started_at: job.started_at.map(timestamp),
        finished_at: job.finished_at.map(timestamp),
        user: listed.user.as_ref().map(|row| user(base_url, row)),
        // GitLab 8 has one file for each build. The farm's other artifacts are not part of this
        // API.
        artifacts_file: archive.and_then(|archive| match &archive.content {
            Content::Archive { filename, .. } => Some(ArtifactsFile {
                filename: filename.clone(),
                size: archive.size_bytes,
            }),
            Content::Image { .. } | Content::File { .. } => None,
        }),
        commit: listed.commit.as_ref().map(Commit::from),
        runner: listed.runner.as_ref().map(Runner::from),
        pipeline: PipelineSummary {
            id: build.id.0,
            sha: build.sha.to_string(),
            git_ref: ref_name(build.git_ref.as_ref()),
            status: pipeline_status(build.state),
        },
    }
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

/// A commit, with the status of its newest pipeline.
pub(crate) fn commit_details(commit: &domain::Commit, newest: Option<BuildState>) -> CommitDetails {
    CommitDetails {
        commit: commit.into(),
        parent_ids: commit.parents.iter().map(ToString::to_string).collect(),
        committed_date: local_time(commit.committer.at),
        authored_date: local_time(commit.author.at),
        status: newest.map(pipeline_status),
    }
}

/// A time in the offset of its committer or author, as GitLab writes it.
fn local_time(time: DateTime<FixedOffset>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, false)
}

/// A job, as a status of its commit.
pub(crate) fn commit_status(base_url: &str, listed: &ListedJob) -> CommitStatus {
    let (job, build) = (&listed.job, &listed.build);
    CommitStatus {
        id: job.id.0,
        sha: build.sha.to_string(),
        git_ref: ref_name(build.git_ref.as_ref()),
        status: job_status(&job.state),
        name: job.name.clone(),
        target_url: None,
        description: job.failure_message.clone(),
        created_at: timestamp(job.created_at),
        started_at: job.started_at.map(timestamp),
        finished_at: job.finished_at.map(timestamp),
        allow_failure: job.allow_failure,
        author: listed.user.as_ref().map(|row| user(base_url, row)),
    }
}

/// A build, as a pipeline of GitLab.
pub(crate) fn pipeline(base_url: &str, listed: &ListedBuild) -> Pipeline {
    let build = &listed.build;
    // The farm does not store when a build last changed; this is the latest time it knows.
    let changed = build.finished_at.or(build.started_at);
    let run_time = build.finished_at.zip(build.started_at);
    Pipeline {
        id: build.id.0,
        sha: build.sha.to_string(),
        git_ref: ref_name(build.git_ref.as_ref()),
        status: pipeline_status(build.state),
        before_sha: ZERO_SHA,
        tag: build.ref_is_tag,
        yaml_errors: None,
        user: listed.user.as_ref().map(|row| user(base_url, row)),
        created_at: timestamp(build.created_at),
        updated_at: timestamp(changed.unwrap_or(build.created_at)),
        started_at: build.started_at.map(timestamp),
        finished_at: build.finished_at.map(timestamp),
        committed_at: listed
            .commit
            .as_ref()
            .map(|commit| local_time(commit.committer.at)),
        duration: run_time.map(|(end, start)| (end - start).num_seconds()),
        coverage: None,
    }
}

/// GitLab's status of a pipeline.
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

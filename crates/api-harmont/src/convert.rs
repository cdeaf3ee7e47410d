//! Conversion of the farm's types into this API's objects. Pure functions.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use slipway_domain::{
    BuildUuid, FailureReason, JobId, JobSpec, JobState, JobUuid, Outcome, Visibility,
};
use slipway_farm::{BuildDetails, DetailedJob, Namespace, Pipeline, Project, Token};
use uuid::Uuid;

use crate::states::{self, JobStatus};
use crate::wire;

/// A time with microseconds, in UTC.
pub(crate) fn timestamp(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

pub(crate) fn build(details: &BuildDetails, pipeline: &Pipeline) -> wire::Build {
    let (build, state) = (&details.build, states::of_build(details));
    let submission = &build.submission;
    let sha = (!build.sha.is_none()).then(|| build.sha.to_string());
    // A build that was submitted through this API has a cause, and keeps the branch and commit that
    // its client wrote, even if they are missing. Other builds have those of the repository.
    let was_submitted = submission.cause.is_some();
    let git_ref = build.git_ref.as_ref().map(ToString::to_string);
    wire::Build {
        number: build.number,
        state,
        source: submission.cause.clone(),
        branch: submission
            .branch
            .clone()
            .or(git_ref.filter(|_| !was_submitted)),
        commit: submission.commit.clone().or(sha.filter(|_| !was_submitted)),
        message: submission.message.clone(),
        error_code: submission.error.as_ref().map(|error| error.code.clone()),
        error_message: submission.error.as_ref().map(|error| error.message.clone()),
        pipeline_slug: pipeline.wide_slug.clone(),
        created_at: timestamp(build.created_at),
        scheduled_at: Some(timestamp(build.created_at)),
        started_at: build.started_at.map(timestamp),
        finished_at: build
            .finished_at
            .filter(|_| state.is_finished())
            .map(timestamp),
    }
}

/// A job of a build, with the jobs that it needs.
pub(crate) fn job(build: BuildUuid, job: &DetailedJob, needs: &[JobId]) -> wire::Job {
    let (state, soft_failed) = (states::of_job(job), states::has_soft_failed(job));
    let (job, details) = (&job.job, &job.details);
    let uuid = |id: &JobId| JobUuid::of(build, *id).to_string();
    // The farm starts a job when it is claimed; here it starts when the runner reports progress.
    let has_started = !matches!(state, JobStatus::Assigned | JobStatus::Scheduled);
    wire::Job {
        id: uuid(&job.id),
        state,
        soft_failed,
        depends_on: needs.iter().map(uuid).collect(),
        created_at: timestamp(job.created_at),
        step_key: Some(details.step_key.clone().unwrap_or_else(|| job.name.clone())),
        name: details.label.clone(),
        command: match &job.spec {
            JobSpec::Script(script) => Some(script.commands.join("\n")),
            JobSpec::ImageBuild(_) | JobSpec::ImageIndex(_) => None,
        },
        // Clients expect 0 for a passed job, whether or not its runner reported a code.
        exit_code: match job.state {
            JobState::Done(Outcome::Succeeded) => Some(0),
            _ => details.exit_code,
        },
        soft_fail_policy: None,
        retry_policy: None,
        error_code: details.error_code.clone().or_else(|| error_code(job.state)),
        error_message: match job.state {
            JobState::Done(Outcome::Skipped) => None,
            _ => job.failure_message.clone(),
        },
        started_at: job.started_at.filter(|_| has_started).map(timestamp),
        finished_at: job
            .finished_at
            .filter(|_| state != JobStatus::Canceling)
            .map(timestamp),
    }
}

/// The code of a failure that the job's command did not cause.
fn error_code(state: JobState) -> Option<String> {
    let JobState::Done(Outcome::Failed(reason)) = state else {
        return None;
    };
    let code = match reason {
        FailureReason::JobFailed
        | FailureReason::BuildFailed
        | FailureReason::TimedOut
        | FailureReason::Unknown => return None,
        FailureReason::RunnerLost => "agent_heartbeat_lost",
        FailureReason::RunnerFault
        | FailureReason::BaseImageUnavailable
        | FailureReason::DiskFull => "provision_failed",
        // The image of a step is pushed for the steps that continue in it.
        FailureReason::PushRefused => "snapshot_failed",
        // The hosted service has no codes for these; the farm's own names are used.
        FailureReason::SourceUnavailable
        | FailureReason::PackageUnavailable
        | FailureReason::PackageInvalid
        | FailureReason::DockerfileMissing
        | FailureReason::DockerfileInvalid
        | FailureReason::SecretMissing
        | FailureReason::PlatformUnsupported
        | FailureReason::NeedMissing
        | FailureReason::Unsupported => reason.as_str(),
    };
    Some(code.to_owned())
}

/// Sorts the jobs of a build so that each comes after all jobs that it needs, and otherwise by the
/// time of creation.
pub(crate) fn in_order(
    jobs: Vec<DetailedJob>,
    needs: &HashMap<JobId, Vec<JobId>>,
) -> Vec<DetailedJob> {
    let mut open: BTreeMap<(DateTime<Utc>, JobId), DetailedJob> = jobs
        .into_iter()
        .map(|shown| ((shown.job.created_at, shown.job.id), shown))
        .collect();
    let mut ordered = Vec::with_capacity(open.len());
    while let Some(first) = open.keys().next().copied() {
        let is_open = |id: &JobId| open.values().any(|shown| shown.job.id == *id);
        let is_free = |id: &JobId| needs.get(id).into_iter().flatten().all(|n| !is_open(n));
        // The graph has no cycles, so a free job exists; if it had, the first job comes next.
        let free = open.keys().find(|(_, id)| is_free(id)).copied();
        ordered.extend(open.remove(&free.unwrap_or(first)));
    }
    ordered
}

pub(crate) fn pipeline(pipeline: &Pipeline, project: &Project) -> wire::Pipeline {
    wire::Pipeline {
        slug: pipeline.wide_slug.clone(),
        name: pipeline.title.clone(),
        repository: project.repo_url.clone(),
        default_branch: project.default_branch.to_string(),
        visibility: match project.visibility {
            Visibility::Public => "public",
            Visibility::Private | Visibility::Internal => "private",
        },
        allow_manual: pipeline.allow_manual,
        created_at: timestamp(pipeline.created_at),
        repo_name: pipeline.repo_name.clone(),
        description: pipeline.description.clone(),
    }
}

/// A namespace as an organization. Slug and name are the same, and it has no URL.
pub(crate) fn organization(namespace: &Namespace) -> wire::Organization {
    wire::Organization {
        slug: namespace.name.to_string(),
        name: namespace.name.to_string(),
        url: None,
        created_at: timestamp(namespace.created_at),
    }
}

/// A token, without its secret.
pub(crate) fn token(token: &Token, id: Uuid) -> wire::ApiToken {
    wire::ApiToken {
        id: id.to_string(),
        description: token.name.clone(),
        created_at: timestamp(token.created_at),
        expires_at: token.expires_at.map(timestamp),
        last_used_at: token.last_used_at.map(timestamp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_microseconds_and_a_zone() {
        let time = DateTime::from_timestamp_millis(1_700_000_000_120).unwrap();
        assert_eq!(timestamp(time), "2023-11-14T22:13:20.120000Z");
    }

    #[test]
    fn only_failures_that_the_command_did_not_cause_have_a_code() {
        let code = |reason| error_code(JobState::Done(Outcome::Failed(reason)));
        assert_eq!(code(FailureReason::JobFailed), None);
        let lost = code(FailureReason::RunnerLost);
        assert_eq!(lost.as_deref(), Some("agent_heartbeat_lost"));
        assert_eq!(error_code(JobState::Pending), None);
    }
}

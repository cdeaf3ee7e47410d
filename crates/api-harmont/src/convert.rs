//! The farm's model in the words of this API. Pure functions.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use slipway_domain::{
    BuildUuid, FailureReason, JobId, JobSpec, JobState, JobUuid, Outcome, Visibility,
};
use slipway_farm::{BuildDetails, DetailedJob, Namespace, Pipeline, Project, Token};

use crate::shapes;
use crate::states::{self, JobWord};

/// A time as this API writes it.
pub(crate) fn timestamp(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// A build of a pipeline.
pub(crate) fn build(shown: &BuildDetails, pipeline: &Pipeline) -> shapes::Build {
    let (build, state) = (&shown.build, states::of_build(shown));
    let handed = &build.handed;
    let sha = (!build.sha.is_none()).then(|| build.sha.to_string());
    let own_words = handed.cause.is_some();
    let git_ref = build.git_ref.as_ref().map(ToString::to_string);
    shapes::Build {
        number: build.number,
        state,
        source: handed.cause.clone(),
        branch: handed.branch.clone().or(git_ref.filter(|_| !own_words)),
        commit: handed.commit.clone().or(sha.filter(|_| !own_words)),
        message: handed.message.clone(),
        error_code: handed.error.as_ref().map(|error| error.code.clone()),
        error_message: handed.error.as_ref().map(|error| error.message.clone()),
        pipeline_slug: pipeline.wide_slug.clone(),
        created_at: timestamp(build.created_at),
        scheduled_at: Some(timestamp(build.created_at)),
        started_at: build.started_at.map(timestamp),
        finished_at: build.finished_at.filter(|_| state.is_over()).map(timestamp),
    }
}

/// A job of a build, with the jobs that it needs.
pub(crate) fn job(build: BuildUuid, shown: &DetailedJob, needs: &[JobId]) -> shapes::Job {
    let (job, details, state) = (&shown.job, &shown.details, states::of_job(shown));
    let uuid = |id: &JobId| JobUuid::of(build, *id).to_string();
    let begun = !matches!(state, JobWord::Assigned | JobWord::Scheduled);
    shapes::Job {
        id: uuid(&job.id),
        state,
        soft_failed: states::is_soft(shown),
        depends_on: needs.iter().map(uuid).collect(),
        created_at: timestamp(job.created_at),
        step_key: Some(details.step_key.clone().unwrap_or_else(|| job.name.clone())),
        name: details.label.clone(),
        command: match &job.spec {
            JobSpec::Script(script) => Some(script.commands.join("\n")),
            JobSpec::ImageBuild(_) | JobSpec::ImageIndex(_) => None,
        },
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
        started_at: job.started_at.filter(|_| begun).map(timestamp),
        finished_at: job
            .finished_at
            .filter(|_| state != JobWord::Canceling)
            .map(timestamp),
    }
}

/// The code of a failure that is not the command's own.
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
        FailureReason::PushRefused => "snapshot_failed",
        // The hosted service has no word for these; the farm's own will do.
        FailureReason::SourceUnavailable
        | FailureReason::PackageUnavailable
        | FailureReason::PackageInvalid
        | FailureReason::DockerfileMissing
        | FailureReason::DockerfileInvalid
        | FailureReason::SecretMissing
        | FailureReason::PlatformUnsupported
        | FailureReason::Unsupported => reason.as_str(),
    };
    Some(code.to_owned())
}

/// The jobs of a build, each after all that it needs; those that could be next to each other stand
/// in the order in which they were made.
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
        let free = open.keys().find(|(_, id)| is_free(id)).copied();
        ordered.extend(open.remove(&free.unwrap_or(first)));
    }
    ordered
}

/// A pipeline and its project.
pub(crate) fn pipeline(pipeline: &Pipeline, project: &Project) -> shapes::Pipeline {
    shapes::Pipeline {
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

/// An organization: a namespace, which has one name and no address.
pub(crate) fn organization(namespace: &Namespace) -> shapes::Organization {
    shapes::Organization {
        slug: namespace.name.to_string(),
        name: namespace.name.to_string(),
        url: None,
        created_at: timestamp(namespace.created_at),
    }
}

/// A token without its secret.
pub(crate) fn token(token: &Token) -> shapes::ApiToken {
    shapes::ApiToken {
        id: token.id.to_string(),
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
    fn only_failures_that_are_not_the_commands_own_have_a_code() {
        let code = |reason| error_code(JobState::Done(Outcome::Failed(reason)));
        assert_eq!(code(FailureReason::JobFailed), None);
        let lost = code(FailureReason::RunnerLost);
        assert_eq!(lost.as_deref(), Some("agent_heartbeat_lost"));
        assert_eq!(error_code(JobState::Pending), None);
    }
}

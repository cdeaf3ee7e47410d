//! Pure conversions between the farm's values and the types of this API.

use slipway_domain::queue::RunnerScope;
use slipway_domain::{BuildStep, FailureReason, JobState, Layer, Outcome, Phase, ScopeSet};
use slipway_farm as farm;

use crate::wire;

mod queue;
mod sources;

pub(crate) use sources::{RequestedBuild, check_request, checked_build, requested_build, source};

impl From<farm::User> for wire::User {
    fn from(user: farm::User) -> Self {
        Self {
            id: user.id.0,
            name: user.name.into(),
            admin: user.admin,
            active: user.active,
            created_at: user.created_at,
        }
    }
}

impl From<farm::Member> for wire::Member {
    fn from(member: farm::Member) -> Self {
        Self {
            user: member.name.into(),
            role: member.role.as_str(),
        }
    }
}

pub(crate) fn scopes(set: &ScopeSet) -> Vec<String> {
    set.iter().map(|scope| scope.as_str().to_owned()).collect()
}

impl From<farm::Token> for wire::Token {
    fn from(token: farm::Token) -> Self {
        Self {
            id: token.id.0,
            name: token.name,
            scopes: scopes(&token.scopes),
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
        }
    }
}

impl From<farm::Registration> for wire::RegistrationToken {
    fn from(token: farm::Registration) -> Self {
        Self {
            id: token.id.0,
            description: token.description,
            project_id: token.project.map(|project| project.0),
            single_use: token.single_use,
            created_at: token.created_at,
            expires_at: token.expires_at,
            used_at: token.used_at,
            revoked_at: token.revoked_at,
        }
    }
}

impl From<farm::Namespace> for wire::Namespace {
    fn from(namespace: farm::Namespace) -> Self {
        Self {
            id: namespace.id.0,
            name: namespace.name.into(),
            max_builds: namespace.max_builds,
            created_at: namespace.created_at,
        }
    }
}

impl From<farm::Project> for wire::Project {
    fn from(project: farm::Project) -> Self {
        Self {
            id: project.id.0,
            namespace: project.namespace_name.into(),
            name: project.name.into(),
            repo_url: project.repo_url,
            default_branch: project.default_branch.into(),
            image_repository: project.image_repository.map(String::from),
            shared_runners: project.shared_runners,
            max_running: project.max_running,
            description: project.description,
            visibility: project.visibility.as_str(),
            public_builds: project.public_builds,
            builds_enabled: project.builds_enabled,
            read_only: project.read_only,
            submodules: project.submodules,
            created_at: project.created_at,
        }
    }
}

impl From<farm::DeployKeyDetails> for wire::DeployKey {
    fn from(key: farm::DeployKeyDetails) -> Self {
        Self {
            server: key.server,
            public_key: key.public_key,
            fingerprint: key.fingerprint,
            known_hosts: key.known_hosts,
            username: key.username,
            created_at: key.created_at,
        }
    }
}

impl TryFrom<wire::NewDeployKey> for farm::NewDeployKey {
    type Error = farm::FarmError;

    fn try_from(new: wire::NewDeployKey) -> Result<Self, Self::Error> {
        let known_hosts = new.known_hosts;
        match (new.private_key, new.generate, new.username, new.password) {
            (Some(private_key), false, None, None) => Ok(Self::Given {
                private_key,
                known_hosts,
            }),
            (None, true, None, None) => Ok(Self::Fresh { known_hosts }),
            (None, false, Some(username), Some(password)) if known_hosts.is_none() => {
                Ok(Self::Token { username, password })
            }
            _ => {
                let why = "give private_key, generate, or username with password; known_hosts \
                           is only for keys";
                Err(farm::FarmError::Invalid(why.to_owned()))
            }
        }
    }
}

impl wire::NewVariable {
    /// The variable in the farm's terms.
    pub(crate) fn as_new(&self) -> farm::NewVariable<'_> {
        farm::NewVariable {
            value: &self.value,
            public: self.public,
            file: self.file,
        }
    }
}

impl From<farm::VariableDetails> for wire::Variable {
    fn from(variable: farm::VariableDetails) -> Self {
        Self {
            key: variable.key,
            value: variable.value,
            public: variable.public,
            file: variable.file,
            created_at: variable.created_at,
            warning: variable.warning,
        }
    }
}

impl From<farm::CredentialDetails> for wire::RegistryCredential {
    fn from(credential: farm::CredentialDetails) -> Self {
        Self {
            registry: credential.registry,
            username: credential.username,
            created_at: credential.created_at,
            warning: credential.warning,
        }
    }
}

impl From<farm::RobotDetails> for wire::Robot {
    fn from(robot: farm::RobotDetails) -> Self {
        Self {
            name: robot.name.to_string(),
            username: robot.username,
            registry: robot.registry,
            created_at: robot.created_at,
        }
    }
}

impl From<farm::Pipeline> for wire::Pipeline {
    fn from(pipeline: farm::Pipeline) -> Self {
        Self {
            slug: pipeline.slug.into(),
            definition: pipeline.definition,
            from_repository: pipeline.from_repository,
            last_number: pipeline.last_number,
            created_at: pipeline.created_at,
            title: pipeline.title,
            description: pipeline.description,
            wide_slug: pipeline.wide_slug,
            repo_name: pipeline.repo_name,
            source_slug: pipeline.source_slug,
            allow_manual: pipeline.allow_manual,
            archived_at: pipeline.archived_at,
        }
    }
}

impl From<wire::PipelineChange> for farm::PipelineChange {
    fn from(change: wire::PipelineChange) -> Self {
        Self {
            definition: change.definition,
            from_repository: change.from_repository,
        }
    }
}

/// A build of `project`. `pipelines` are those of the project.
pub(crate) fn build(
    build: farm::Build,
    project: &farm::Project,
    pipelines: &[farm::Pipeline],
) -> wire::Build {
    let pipeline = pipelines.iter().find(|one| one.id == build.pipeline);
    wire::Build {
        id: build.uuid.0,
        project: project.path(),
        pipeline: pipeline.map(|one| one.slug.to_string()).unwrap_or_default(),
        number: build.number,
        sha: build.sha.into(),
        git_ref: build.git_ref.map(String::from),
        ref_is_tag: build.ref_is_tag,
        state: build.state.as_str(),
        created_by: build.created_by.map(|user| user.0),
        created_at: build.created_at,
        started_at: build.started_at,
        finished_at: build.finished_at,
        error: build.submission.error.map(|error| wire::ErrorDetail {
            code: error.code,
            message: error.message,
        }),
    }
}

/// A job of `build` in `project`.
pub(crate) fn job(
    job: farm::Job,
    details: farm::JobDetails,
    build: &farm::Build,
    project: &farm::Project,
) -> wire::Job {
    wire::Job {
        id: job.id.0,
        build: build.uuid.0,
        project: project.path(),
        name: job.name,
        stage: job.stage,
        state: job.state.name(),
        phase: phase(job.state).map(Phase::as_str),
        failure_reason: failure_reason(job.state).map(FailureReason::as_str),
        failure_message: job.failure_message,
        exit_code: details.exit_code,
        allow_failure: job.allow_failure,
        attempt: job.attempt,
        retries: job.retries.map(|job| job.0),
        superseded: job.superseded,
        timeout_s: job.timeout_s,
        runner: job.runner.map(|runner| runner.0),
        spec: job.spec,
        build_steps: details.build_steps.into_iter().map(Into::into).collect(),
        trace_incomplete: details.trace_incomplete,
        trace_missing_bytes: details.trace_missing_bytes,
        created_at: job.created_at,
        queued_at: job.queued_at,
        started_at: job.started_at,
        finished_at: job.finished_at,
        erased_at: job.erased_at,
        erased_by: job.erased_by.map(|user| user.0),
    }
}

fn phase(state: JobState) -> Option<Phase> {
    match state {
        JobState::Running(_, phase) => Some(phase),
        JobState::Waiting | JobState::Manual | JobState::Pending | JobState::Done(_) => None,
    }
}

fn failure_reason(state: JobState) -> Option<FailureReason> {
    match state {
        JobState::Done(Outcome::Failed(reason)) => Some(reason),
        JobState::Waiting
        | JobState::Manual
        | JobState::Pending
        | JobState::Running(..)
        | JobState::Done(_) => None,
    }
}

/// The last event in the stream of a trace.
pub(crate) fn trace_end(state: JobState) -> wire::TraceEnd {
    wire::TraceEnd {
        state: state.name(),
        failure_reason: failure_reason(state).map(FailureReason::as_str),
    }
}

impl From<BuildStep> for wire::BuildStep {
    fn from(step: BuildStep) -> Self {
        Self {
            name: step.name,
            duration_ms: step.duration_ms,
            cached: step.cached,
            failed: step.failed,
        }
    }
}

impl From<Layer> for wire::Layer {
    fn from(layer: Layer) -> Self {
        Self {
            diff_id: layer.diff_id,
            size_bytes: layer.size_bytes,
        }
    }
}

impl From<farm::Artifact> for wire::Artifact {
    fn from(artifact: farm::Artifact) -> Self {
        let record = wire::ArtifactRecord {
            id: artifact.id.0,
            job: artifact.job.0,
            size_bytes: artifact.size_bytes,
            created_at: artifact.created_at,
            expires_at: artifact.expires_at,
        };
        match artifact.content {
            farm::Content::Image {
                reference,
                digest,
                tags,
                details,
            } => Self::Image(wire::ImageArtifact {
                record,
                kind: wire::ImageKind::Image,
                reference,
                digest,
                tags,
                platform: details.platform.map(|platform| platform.to_string()),
                layers: details.layers.into_iter().map(Into::into).collect(),
            }),
            farm::Content::Archive {
                filename, sha256, ..
            } => Self::Archive(wire::ArchiveArtifact {
                record,
                kind: wire::ArchiveKind::Archive,
                filename,
                sha256,
            }),
            farm::Content::File {
                file_type,
                format,
                filename,
                sha256,
                ..
            } => Self::File(wire::FileArtifact {
                record,
                kind: wire::FileKind::File,
                file_type,
                format,
                filename,
                sha256,
            }),
        }
    }
}

/// A runner. `online` is the farm's decision, which needs the time.
pub(crate) fn runner(runner: farm::Runner, online: bool) -> wire::Runner {
    let (shared, projects) = match runner.capabilities.scope {
        RunnerScope::Shared => (true, Vec::new()),
        RunnerScope::Projects(ids) => (false, ids.into_iter().map(|id| id.0).collect()),
    };
    wire::Runner {
        id: runner.id.0,
        description: runner.description,
        tags: runner.capabilities.tags.into(),
        run_untagged: runner.capabilities.run_untagged,
        shared,
        projects,
        locked: runner.locked,
        paused: runner.paused,
        online,
        heartbeat: runner.heartbeat,
        name: runner.about.name,
        version: runner.about.version,
        revision: runner.about.revision,
        platform: runner.about.platform,
        architecture: runner.about.architecture,
        executor: runner.about.executor,
        created_at: runner.created_at,
        contact_at: runner.contact_at,
        unready: runner.about.unready,
        trust: runner.about.trust.iter().map(ToString::to_string).collect(),
        notes: runner.about.notes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_running_jobs_have_a_phase_and_only_failed_ones_a_reason() {
        let failed = JobState::Done(Outcome::Failed(FailureReason::PushRefused));
        assert_eq!(phase(failed), None);
        assert_eq!(failure_reason(failed), Some(FailureReason::PushRefused));
        assert_eq!(trace_end(failed).failure_reason, Some("push_refused"));
        assert_eq!(failure_reason(JobState::Done(Outcome::Canceled)), None);
    }
}

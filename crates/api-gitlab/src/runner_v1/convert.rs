//! Conversions between the farm's model and the runner protocol v1. Pure functions.

use bytes::Bytes;
use slipway_domain::base_image::BaseImage;
use slipway_domain::image::push_targets::PushTargets;
use slipway_domain::names::clean_message;
use slipway_domain::spec::Script;
use slipway_domain::{FailureReason, JobSpec, ReportedResult, TrustLevel};
use slipway_farm::{
    About, ClaimedJob, Ended, Extent, MadeImage, NeededJob, Report, SentTrace, archive_of,
};
use slipway_protocol::{
    Artifacts, ArtifactsFile, Checkout, Dependency, DeployKey, Info, Isolation, JobPayload,
    JobSource, Options, OwnJob, UpdateRequest,
};

use crate::{commands, convert};

/// How many notes of a runner are kept.
const MAX_NOTES: usize = 20;

/// How a runner gets variables whose values are in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileVariables {
    /// It writes the files itself.
    Native,
    /// The first commands of the job write them.
    Commands,
}

impl FileVariables {
    /// What a runner that reports this about itself supports: stock runners write files from 1.9 on.
    pub(crate) fn of(info: Option<&Info>) -> Self {
        let version = info.and_then(|info| {
            let name = info.name.as_deref() == Some("gitlab-ci-multi-runner");
            info.version.as_deref().filter(|_| name)
        });
        let mut parts = version.unwrap_or_default().split('.');
        let mut number = || parts.next()?.parse::<u32>().ok();
        match (number(), number()) {
            (Some(1), Some(9..)) => Self::Native,
            _ => Self::Commands,
        }
    }
}

/// A claimed job in the format that runners read. `own` holds what only our runner reads.
pub(crate) fn payload(claimed: &ClaimedJob, files: FileVariables) -> JobPayload {
    let (job, build, project) = (&claimed.job, &claimed.build, &claimed.project);
    let logins = convert::registry_credentials(claimed);
    let options = match &job.spec {
        JobSpec::Script(script) => options(script),
        JobSpec::ImageBuild(_) | JobSpec::ImageIndex(_) => Options::default(),
    };
    // Runners use the last value of a key.
    let mut variables = convert::predefined_variables(claimed, &logins);
    variables.extend(convert::configured_variables(claimed));
    let mut spec = job.spec.clone();
    let mut write_files = Vec::new();
    if files == FileVariables::Commands {
        write_files = commands::write_files(&convert::file_variables(claimed));
        for variable in &mut variables {
            variable.file = false;
        }
        if let JobSpec::Script(script) = &mut spec {
            script.commands.splice(0..0, write_files.iter().cloned());
        }
    }
    JobPayload {
        id: job.id.0,
        project_id: project.id.0,
        project_name: project.name.to_string(),
        commands: commands::text(&write_files, claimed, &logins),
        repo_url: claimed.secrets.repository.url.clone(),
        git_ref: convert::ref_name(build.git_ref.as_ref()),
        sha: build.sha.to_string(),
        before_sha: convert::ZERO_SHA.to_owned(),
        allow_git_fetch: true,
        // Runners read 0 as "use your own default".
        timeout: u32::try_from(job.timeout_s).unwrap_or(0),
        variables,
        options,
        status: convert::job_status(&job.state).to_owned(),
        token: claimed.token.expose().to_owned(),
        name: job.name.clone(),
        stage: job.stage.clone(),
        tag: build.ref_is_tag,
        artifacts_file: archive_of(&claimed.artifacts).map(artifacts_file),
        artifacts_expire_at: claimed
            .artifacts
            .iter()
            .find_map(|artifact| artifact.expires_at)
            .map(convert::timestamp),
        depends_on_builds: claimed
            .needs
            .iter()
            .map(|needed| dependency(claimed, needed))
            .collect(),
        own: Some(OwnJob {
            spec,
            build: build.uuid.to_string(),
            number: build.number,
            attempt: job.attempt,
            project: Some(claimed.project.path().to_string()),
            lease_s: u32::try_from(job.lease_length.num_seconds()).unwrap_or(0),
            pull_login: claimed
                .secrets
                .pull_login
                .as_ref()
                .map(convert::registry_login),
            source: claimed.source.as_ref().map(|source| JobSource {
                url: source.url.clone(),
                token: source.token.as_ref().map(|token| token.expose().to_owned()),
                sha256: source.sha256.clone(),
            }),
            checkout: Some(checkout(claimed)),
            max_file_bytes: Some(claimed.max_file_bytes),
            uploads_in_pieces: true,
            isolation: Some(isolation(claimed)),
        }),
        credentials: logins,
    }
}

fn isolation(claimed: &ClaimedJob) -> Isolation {
    Isolation {
        project_scope: claimed.caches.project.clone(),
        trust_scope: claimed.caches.trust.clone(),
        trust: claimed.build.trust.to_string(),
        push_to: match &claimed.push_targets {
            PushTargets::Any => None,
            PushTargets::Below(repositories) => Some(repositories.clone()),
        },
    }
}

/// The image and artifact rules of a script.
fn options(script: &Script) -> Options {
    let rules = script.artifacts.as_ref();
    Options {
        image: script.image.clone(),
        services: None,
        artifacts: rules.map(|rules| Artifacts {
            name: rules.name.clone(),
            paths: rules.paths.clone(),
            when: Some(convert::artifacts_when(rules.when).to_owned()),
            expire_in: rules.expire_in.clone(),
        }),
    }
}

fn artifacts_file((filename, size): (&str, u64)) -> ArtifactsFile {
    ArtifactsFile {
        filename: filename.to_owned(),
        size,
    }
}

fn checkout(claimed: &ClaimedJob) -> Checkout {
    let key = claimed.secrets.repository.key.as_ref();
    Checkout {
        submodules: claimed.project.submodules,
        deploy_key: key.map(|(private_key, known_hosts)| DeployKey {
            private_key: private_key.clone(),
            known_hosts: known_hosts.clone(),
        }),
    }
}

fn dependency(claimed: &ClaimedJob, needed: &NeededJob) -> Dependency {
    Dependency {
        id: needed.job.id.0,
        name: needed.job.name.clone(),
        stage: needed.job.stage.clone(),
        git_ref: convert::ref_name(claimed.build.git_ref.as_ref()),
        sha: claimed.build.sha.to_string(),
        tag: claimed.build.ref_is_tag,
        status: convert::job_status(&needed.job.state).to_owned(),
        token: needed.token.expose().to_owned(),
        project_id: claimed.project.id.0,
        project_name: claimed.project.name.to_string(),
        // Runners download only from dependencies with a file.
        artifacts_file: needed.archive().map(artifacts_file),
    }
}

/// What a runner reports about itself, and whether it sends heartbeats apart from its output.
pub(crate) fn about(info: Option<Info>) -> (About, bool) {
    // Runners may leave out `info` and any member of it.
    let info = info.unwrap_or_default();
    let heartbeat = info.features.is_some_and(|features| features.heartbeat);
    let about = About {
        name: info.name,
        version: info.version,
        revision: info.revision,
        platform: info.platform,
        architecture: info.architecture,
        executor: info.executor,
        // An invalid platform matches no job, so it is ignored instead of failing the poll.
        platforms: info
            .platforms
            .iter()
            .flat_map(|text| text.parse())
            .collect(),
        image_archives: info
            .features
            .is_some_and(|features| features.image_archives),
        unready: info.unready.map(|why| clean_message(&why)),
        trust: trust_levels(&info.trust),
        notes: info
            .notes
            .iter()
            .take(MAX_NOTES)
            .map(|note| clean_message(note))
            .collect(),
    };
    (about, heartbeat)
}

/// The trust levels that a runner is dedicated to. Unknown ones are left out.
fn trust_levels(words: &[String]) -> Vec<TrustLevel> {
    let known: Vec<TrustLevel> = words.iter().flat_map(|word| word.parse()).collect();
    if known.is_empty() && !words.is_empty() {
        // No level would mean all of them. Builds of the default branch harm a host least.
        vec![TrustLevel::DefaultBranch]
    } else {
        known
    }
}

/// A progress report or result in the farm's terms.
pub(crate) fn report(request: UpdateRequest) -> Report {
    let result = match request.state.as_deref() {
        Some("success") => Some(ReportedResult::Succeeded),
        Some("failed") => {
            // Stock runners of this protocol send no reason.
            let reason = request
                .failure_reason
                .as_deref()
                .and_then(|name| name.parse().ok());
            Some(ReportedResult::Failed(
                reason.unwrap_or(FailureReason::JobFailed),
            ))
        }
        // GitLab 8 ignores unknown states, and runners rely on that.
        _ => None,
    };
    let image = request.image.map(|image| MadeImage {
        reference: image.reference,
        digest: image.digest,
        tags: image.tags,
        size_bytes: image.size_bytes,
        details: image.details,
    });
    let trace = request.trace_sum.map(|sum| Extent {
        length: sum.length,
        crc32: sum.crc32,
    });
    let base_image = request.base_image.and_then(|base| {
        // An invalid base image name is dropped: the rest of the report must not be lost over it.
        BaseImage::new(&base.image, base.username.as_deref()).ok()
    });
    let (message, exit_code) = (request.failure_message, request.exit_code);
    Report {
        trace: request.trace.map(Bytes::from),
        phase: request.phase.as_deref().and_then(|name| name.parse().ok()),
        base_image,
        ended: result.map(|result| Ended {
            result,
            message,
            trace,
            image,
            exit_code,
            build_steps: request.build_steps,
        }),
        sent: SentTrace::default(),
        wait: None,
    }
}

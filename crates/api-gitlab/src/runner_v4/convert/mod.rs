//! Conversions between the farm's model and the runner protocol v4. Pure functions.

mod failure_reasons;
mod variables;

use slipway_domain::spec::Script;
use slipway_domain::{AccessToken, JobSpec, JobToken, RegistrationToken, RunnerToken};
use slipway_farm::{About, ClaimedJob, NeededJob};
use uuid::Uuid;

use self::failure_reasons::FAILURE_REASONS;
pub(crate) use self::failure_reasons::failure_reason;
use self::variables::variables;
use super::wire::{
    Artifact, ArtifactsFile, Dependency, Features, GitInfo, Image, Info, JobInfo, JobPayload,
    RunnerInfo, Step,
};
use crate::{commands, convert};

/// The farm that a job comes from.
pub(crate) struct Instance {
    pub(crate) base_url: String,
    pub(crate) uuid: Uuid,
}

/// GitLab reports this many running jobs and more as `5+`.
const MANY_JOBS: u32 = 5;
/// The farm has no organizations, so that all jobs belong to the same one.
const ORGANIZATION_ID: i64 = 1;

/// A claimed job.
pub(crate) fn payload(claimed: &ClaimedJob, instance: &Instance) -> JobPayload {
    let job = &claimed.job;
    let logins = convert::registry_credentials(claimed);
    // Runners read 0 as "use your own default".
    let timeout = u32::try_from(job.timeout_s).unwrap_or(0);
    let script = match &job.spec {
        JobSpec::Script(script) => Some(script),
        JobSpec::ImageBuild(_) | JobSpec::ImageIndex(_) => None,
    };
    JobPayload {
        id: job.id.0,
        token: claimed.token.expose().to_owned(),
        allow_git_fetch: true,
        job_info: job_info(claimed, instance),
        git_info: git_info(claimed),
        runner_info: RunnerInfo {
            timeout,
            runner_session_url: None,
        },
        // Unused members are empty and not left out: clients other than stock runners require them.
        inputs: [],
        variables: variables(claimed, &logins, &instance.base_url),
        steps: vec![Step {
            name: "script",
            script: commands::lines(claimed, &logins),
            timeout,
            when: "on_success",
            allow_failure: false,
        }],
        image: script.and_then(|script| script.image.as_deref()).map(image),
        services: [],
        artifacts: script.and_then(artifacts).into_iter().collect(),
        cache: [],
        dependencies: claimed
            .needs
            .iter()
            .filter_map(|needed| dependency(claimed, needed))
            .collect(),
        features: Features {
            // The farm shows traces unchanged, and would show the markers of sections as text.
            trace_sections: false,
            // Runners mask tokens with these prefixes in the trace.
            token_mask_prefixes: vec![
                AccessToken::PREFIX,
                JobToken::PREFIX,
                RegistrationToken::PREFIX,
                RunnerToken::PREFIX,
                RunnerToken::PRECREATED_PREFIX,
            ],
            failure_reasons: FAILURE_REASONS.iter().map(|(name, _)| *name).collect(),
        },
        hooks: [],
        credentials: logins,
    }
}

fn job_info(claimed: &ClaimedJob, instance: &Instance) -> JobInfo {
    let (job, project) = (&claimed.job, &claimed.project);
    // GitLab does not count the job itself.
    let others = claimed.running.saturating_sub(1);
    let queued = match (job.queued_at, job.started_at) {
        (Some(queued_at), Some(started_at)) => started_at - queued_at,
        _ => chrono::TimeDelta::zero(),
    };
    JobInfo {
        id: job.id.0,
        name: job.name.clone(),
        stage: job.stage.clone(),
        project_id: project.id.0,
        project_name: project.name.to_string(),
        project_full_path: project.path(),
        namespace_id: project.namespace.0,
        // Namespaces are not nested.
        root_namespace_id: project.namespace.0,
        organization_id: ORGANIZATION_ID,
        instance_id: instance.uuid.simple().to_string(),
        instance_uuid: instance.uuid.to_string(),
        user_id: job.created_by.map_or(0, |user| user.0),
        scoped_user_id: None,
        time_in_queue_seconds: queued.as_seconds_f64().max(0.0),
        project_jobs_running_on_instance_runners_count: match others {
            MANY_JOBS.. => format!("{MANY_JOBS}+"),
            few => few.to_string(),
        },
        // The farm does not count the queue when a job is claimed.
        queue_size: 0,
        queue_depth: 0,
        pipeline_id: claimed.build.id.0,
    }
}

/// Length of a commit's name in a repository with SHA-256 objects.
const SHA256_HEX_LEN: usize = 64;

fn git_info(claimed: &ClaimedJob) -> GitInfo {
    let build = &claimed.build;
    let git_ref = convert::ref_name(build.git_ref.as_ref());
    let sha = build.sha.to_string();
    let refspecs = match (git_ref.as_str(), build.ref_is_tag) {
        // A build of a commit alone: fetch every ref, since any of them may contain the commit.
        ("", _) => vec![
            "+refs/heads/*:refs/remotes/origin/*".to_owned(),
            "+refs/tags/*:refs/tags/*".to_owned(),
        ],
        (tag, true) => vec![format!("+refs/tags/{tag}:refs/tags/{tag}")],
        (branch, false) => vec![format!("+refs/heads/{branch}:refs/remotes/origin/{branch}")],
    };
    GitInfo {
        repo_url: claimed.secrets.repository.url.clone(),
        repo_object_format: if sha.len() == SHA256_HEX_LEN {
            "sha256"
        } else {
            "sha1"
        },
        sha,
        before_sha: convert::ZERO_SHA,
        git_ref,
        ref_type: if build.ref_is_tag { "tag" } else { "branch" },
        refspecs,
        // A shallow fetch of a branch that has new commits would not contain this one.
        depth: 0,
        protected: None,
    }
}

fn image(name: &str) -> Image {
    Image {
        name: name.to_owned(),
        alias: None,
        entrypoint: [],
        command: [],
        ports: [],
        variables: [],
        pull_policy: [],
        executor_opts: std::collections::BTreeMap::new(),
    }
}

fn artifacts(script: &Script) -> Option<Artifact> {
    let rules = script.artifacts.as_ref()?;
    Some(Artifact {
        name: rules.name.clone().unwrap_or_default(),
        untracked: false,
        paths: rules.paths.clone(),
        exclude: [],
        when: convert::artifacts_when(rules.when),
        artifact_type: "archive",
        artifact_format: "zip",
        expire_in: rules.expire_in.clone().unwrap_or_default(),
    })
}

/// A needed job, if it has an archive. The token is that of the claimed job, as in GitLab: it may
/// download the archives of the jobs that it needs.
fn dependency(claimed: &ClaimedJob, needed: &NeededJob) -> Option<Dependency> {
    let (filename, size) = needed.archive()?;
    Some(Dependency {
        id: needed.job.id.0,
        name: needed.job.name.clone(),
        token: claimed.token.expose().to_owned(),
        artifacts_file: ArtifactsFile {
            filename: filename.to_owned(),
            size,
        },
    })
}

/// What a runner reports about itself.
pub(crate) fn about(info: &Info) -> About {
    About {
        name: info.name.clone(),
        version: info.version.clone(),
        revision: info.revision.clone(),
        platform: info.platform.clone(),
        architecture: info.architecture.clone(),
        executor: info.executor.clone(),
        platforms: Vec::new(),
        image_archives: false,
        unready: None,
        trust: Vec::new(),
        notes: Vec::new(),
    }
}

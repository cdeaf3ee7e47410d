//! A claimed job as a runner of this protocol reads it. Pure functions.

mod failure_reasons;
mod variables;

use slipway_domain::spec::Script;
use slipway_domain::{AccessToken, JobSpec, JobToken, RegistrationToken, RunnerToken};
use slipway_farm::{About, ClaimedJob, Needed};
use uuid::Uuid;

use self::failure_reasons::REASONS;
pub(crate) use self::failure_reasons::reason;
use self::variables::variables;
use super::wire::{
    Artifact, ArtifactsFile, Dependency, Features, GitInfo, Image, Info, JobInfo, Payload,
    RunnerInfo, Step,
};
use crate::{commands, convert};

/// The farm, as runners know it.
pub(crate) struct Home {
    /// Where it is.
    pub(crate) base: String,
    /// What it is told from others by.
    pub(crate) uuid: Uuid,
}

/// From how many on the running jobs of a project are not counted.
const MANY: u32 = 5;
/// Of the one organization that a farm is.
const ORGANIZATION: i64 = 1;

/// The job, of whose project so many are `running`, itself among them.
pub(crate) fn payload(claimed: &ClaimedJob, home: &Home, running: u32) -> Payload {
    let job = &claimed.job;
    let logins = convert::credentials(claimed);
    let timeout = u32::try_from(job.timeout_s).unwrap_or(0);
    let script = match &job.spec {
        JobSpec::Script(script) => Some(script),
        JobSpec::ImageBuild(_) | JobSpec::ImageIndex(_) => None,
    };
    Payload {
        id: job.id.0,
        token: claimed.token.expose().to_owned(),
        allow_git_fetch: true,
        job_info: job_info(claimed, home, running),
        git_info: git_info(claimed),
        runner_info: RunnerInfo {
            timeout,
            runner_session_url: None,
        },
        inputs: [],
        variables: variables(claimed, &logins, &home.base),
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
            // Their marks would stand in the trace as they are.
            trace_sections: false,
            token_mask_prefixes: vec![
                AccessToken::PREFIX,
                JobToken::PREFIX,
                RegistrationToken::PREFIX,
                RunnerToken::PREFIX,
                RunnerToken::PRECREATED_PREFIX,
            ],
            failure_reasons: REASONS.iter().map(|(word, _)| *word).collect(),
        },
        hooks: [],
        credentials: logins,
    }
}

fn job_info(claimed: &ClaimedJob, home: &Home, running: u32) -> JobInfo {
    let (job, project) = (&claimed.job, &claimed.project);
    let others = running.saturating_sub(1);
    let waited = match (job.queued_at, job.started_at) {
        (Some(queued), Some(started)) => started - queued,
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
        root_namespace_id: project.namespace.0,
        organization_id: ORGANIZATION,
        instance_id: home.uuid.simple().to_string(),
        instance_uuid: home.uuid.to_string(),
        user_id: job.created_by.map_or(0, |user| user.0),
        scoped_user_id: None,
        time_in_queue_seconds: waited.as_seconds_f64().max(0.0),
        project_jobs_running_on_instance_runners_count: match others {
            MANY.. => format!("{MANY}+"),
            few => few.to_string(),
        },
        // Nobody counts the queue when a job leaves it.
        queue_size: 0,
        queue_depth: 0,
        pipeline_id: claimed.build.id.0,
    }
}

fn git_info(claimed: &ClaimedJob) -> GitInfo {
    let build = &claimed.build;
    let git_ref = convert::ref_name(build.git_ref.as_ref());
    let sha = build.sha.to_string();
    let refspecs = match (git_ref.as_str(), build.ref_is_tag) {
        // A build that was asked for by its commit alone: whatever leads to it.
        ("", _) => vec![
            "+refs/heads/*:refs/remotes/origin/*".to_owned(),
            "+refs/tags/*:refs/tags/*".to_owned(),
        ],
        (tag, true) => vec![format!("+refs/tags/{tag}:refs/tags/{tag}")],
        (branch, false) => vec![format!("+refs/heads/{branch}:refs/remotes/origin/{branch}")],
    };
    GitInfo {
        repo_url: claimed.secrets.repository.url.clone(),
        repo_object_format: match sha.len() {
            64 => "sha256",
            _ => "sha1",
        },
        sha,
        before_sha: convert::NO_SHA,
        git_ref,
        ref_type: match build.ref_is_tag {
            true => "tag",
            false => "branch",
        },
        refspecs,
        // With less than everything a branch that moved on would hide the commit.
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
        when: convert::when_word(rules.when),
        artifact_type: "archive",
        artifact_format: "zip",
        expire_in: rules.expire_in.clone().unwrap_or_default(),
    })
}

/// A job that was needed, if it left files. It is fetched by the token of the job that needs it.
fn dependency(claimed: &ClaimedJob, needed: &Needed) -> Option<Dependency> {
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

/// What a runner says of itself, in the farm's words.
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
    }
}

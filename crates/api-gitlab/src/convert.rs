//! The farm's model in GitLab's words. Pure functions.

use chrono::{DateTime, SecondsFormat, Utc};
use slipway_domain::spec::{ArtifactsWhen, Script};
use slipway_domain::{GitRef, JobSpec, JobState, StateName};
use slipway_farm::{ClaimedJob, Needed, archive_of};
use slipway_protocol::{
    Artifacts, ArtifactsFile, Checkout, Credentials, Dependency, DeployKey, JobPayload, JobSource,
    Options, OwnJob, Variable,
};

use crate::commands;

/// What GitLab sends when it does not know the commit before.
pub(crate) const NO_SHA: &str = "0000000000000000000000000000000000000000";

/// GitLab's word for a job's state.
pub(crate) fn status(state: &JobState) -> &'static str {
    status_word(state.kind())
}

/// GitLab's word for a state.
pub(crate) fn status_word(state: StateName) -> &'static str {
    match state {
        StateName::Waiting => "created",
        // GitLab of that time has no word of its own for a job that waits for somebody.
        StateName::Manual | StateName::Skipped => "skipped",
        StateName::Pending => "pending",
        StateName::Running => "running",
        StateName::Succeeded => "success",
        StateName::Failed => "failed",
        StateName::Canceled => "canceled",
    }
}

/// A time as GitLab writes it.
pub(crate) fn timestamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A claimed job as a runner reads it.
pub(crate) fn payload(claimed: &ClaimedJob) -> JobPayload {
    let (job, build, project) = (&claimed.job, &claimed.build, &claimed.project);
    let logins = credentials(claimed);
    let options = match &job.spec {
        JobSpec::Script(script) => options(script),
        JobSpec::ImageBuild(_) | JobSpec::ImageIndex(_) => Options::default(),
    };
    // The last of a name wins.
    let mut variables = farm_variables(claimed, &logins);
    variables.extend(own_variables(claimed));
    JobPayload {
        id: job.id.0,
        project_id: project.id.0,
        project_name: project.name.to_string(),
        commands: commands::lines(claimed, &logins).join("\n"),
        repo_url: claimed.secrets.repository.url.clone(),
        git_ref: ref_name(build.git_ref.as_ref()),
        sha: build.sha.to_string(),
        before_sha: NO_SHA.to_owned(),
        allow_git_fetch: true,
        timeout: u32::try_from(job.timeout_s).unwrap_or(0),
        variables,
        options,
        status: status(&job.state).to_owned(),
        token: claimed.token.expose().to_owned(),
        name: job.name.clone(),
        stage: job.stage.clone(),
        tag: build.ref_is_tag,
        artifacts_file: archive_of(&claimed.artifacts).map(file),
        artifacts_expire_at: claimed
            .artifacts
            .iter()
            .find_map(|artifact| artifact.expires_at)
            .map(timestamp),
        depends_on_builds: claimed
            .needs
            .iter()
            .map(|needed| dependency(claimed, needed))
            .collect(),
        own: Some(OwnJob {
            spec: job.spec.clone(),
            build: build.uuid.to_string(),
            number: build.number,
            attempt: job.attempt,
            lease_s: u32::try_from(job.lease_length.num_seconds()).unwrap_or(0),
            pull_login: claimed.secrets.pull_login.as_ref().map(login),
            source: claimed.source.as_ref().map(|source| JobSource {
                url: source.url.clone(),
                token: source.token.as_ref().map(|token| token.expose().to_owned()),
                sha256: source.sha256.clone(),
            }),
            checkout: Some(checkout(claimed)),
            max_file_bytes: Some(claimed.max_file_bytes),
        }),
        credentials: logins,
    }
}

/// A script's image and artifacts, as stock runners read them.
fn options(script: &Script) -> Options {
    let rules = script.artifacts.as_ref();
    Options {
        image: script.image.clone(),
        services: None,
        artifacts: rules.map(|rules| Artifacts {
            name: rules.name.clone(),
            paths: rules.paths.clone(),
            when: Some(when_word(rules.when).to_owned()),
            expire_in: rules.expire_in.clone(),
        }),
    }
}

/// After which ends files are taken.
pub(crate) fn when_word(when: ArtifactsWhen) -> &'static str {
    match when {
        ArtifactsWhen::OnSuccess => "on_success",
        ArtifactsWhen::OnFailure => "on_failure",
        ArtifactsWhen::Always => "always",
    }
}

/// The branch or tag of a build; empty when it was asked for by its commit alone.
pub(crate) fn ref_name(git_ref: Option<&GitRef>) -> String {
    git_ref.map(GitRef::to_string).unwrap_or_default()
}

fn file((filename, size): (&str, u64)) -> ArtifactsFile {
    ArtifactsFile {
        filename: filename.to_owned(),
        size,
    }
}

pub(crate) fn credentials(claimed: &ClaimedJob) -> Vec<Credentials> {
    claimed.secrets.credentials.iter().map(login).collect()
}

fn login((registry, username, password): &(String, String, String)) -> Credentials {
    Credentials {
        kind: "registry".to_owned(),
        url: registry.clone(),
        username: username.clone(),
        password: password.clone(),
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

fn dependency(claimed: &ClaimedJob, needed: &Needed) -> Dependency {
    Dependency {
        id: needed.job.id.0,
        name: needed.job.name.clone(),
        stage: needed.job.stage.clone(),
        git_ref: ref_name(claimed.build.git_ref.as_ref()),
        sha: claimed.build.sha.to_string(),
        tag: claimed.build.ref_is_tag,
        status: status(&needed.job.state).to_owned(),
        token: needed.token.expose().to_owned(),
        project_id: claimed.project.id.0,
        project_name: claimed.project.name.to_string(),
        artifacts_file: needed.archive().map(file),
    }
}

/// The variables that the farm gives to every job.
pub(crate) fn farm_variables(claimed: &ClaimedJob, logins: &[Credentials]) -> Vec<Variable> {
    let (job, build, project) = (&claimed.job, &claimed.build, &claimed.project);
    let public = |key: &str, value: String| Variable {
        key: key.to_owned(),
        value,
        public: true,
    };
    let mut list = vec![
        public("CI", "true".to_owned()),
        public("GITLAB_CI", "true".to_owned()),
        public("CI_BUILD_ID", job.id.to_string()),
        Variable {
            key: "CI_BUILD_TOKEN".to_owned(),
            value: claimed.token.expose().to_owned(),
            public: false,
        },
        public("CI_BUILD_REF", build.sha.to_string()),
        public("CI_BUILD_BEFORE_SHA", NO_SHA.to_owned()),
        public("CI_BUILD_REF_NAME", ref_name(build.git_ref.as_ref())),
        public("CI_BUILD_NAME", job.name.clone()),
        public("CI_BUILD_STAGE", job.stage.clone()),
        public("CI_SERVER_NAME", "Slipway".to_owned()),
        public("CI_SERVER_VERSION", env!("CARGO_PKG_VERSION").to_owned()),
        public("CI_SERVER_REVISION", String::new()),
        public("CI_PROJECT_ID", project.id.to_string()),
        public("CI_PROJECT_NAME", project.name.to_string()),
        public("CI_PROJECT_PATH", project.path()),
        public("CI_PROJECT_NAMESPACE", project.namespace_name.to_string()),
        public("CI_PIPELINE_ID", build.id.to_string()),
    ];
    if build.ref_is_tag {
        list.push(public("CI_BUILD_TAG", ref_name(build.git_ref.as_ref())));
    }
    for (position, login) in logins.iter().enumerate() {
        list.push(Variable {
            key: commands::password_variable(position),
            value: login.password.clone(),
            public: false,
        });
    }
    list
}

/// The variables that come after the farm's: the script's, then the project's.
pub(crate) fn own_variables(claimed: &ClaimedJob) -> impl Iterator<Item = Variable> {
    let of_script = match &claimed.job.spec {
        JobSpec::Script(script) => Some(&script.variables),
        JobSpec::ImageBuild(_) | JobSpec::ImageIndex(_) => None,
    };
    let of_script = of_script
        .into_iter()
        .flatten()
        .map(|(key, value)| (key, value, true));
    let of_project = claimed.secrets.variables.iter();
    let of_project = of_project.map(|(key, value, public)| (key, value, *public));
    of_script
        .chain(of_project)
        .map(|(key, value, public)| Variable {
            key: key.clone(),
            value: value.clone(),
            public,
        })
}

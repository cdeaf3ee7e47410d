//! The farm's model in GitLab's terms, as far as several of the APIs share it. Pure functions.

use chrono::{DateTime, SecondsFormat, Utc};
use slipway_domain::spec::ArtifactsWhen;
use slipway_domain::{GitRef, JobSpec, JobState, StateName};
use slipway_farm::ClaimedJob;
use slipway_protocol::{Credentials, Variable};

use crate::commands;

/// What GitLab sends as `before_sha` if it does not know the previous commit.
pub(crate) const ZERO_SHA: &str = "0000000000000000000000000000000000000000";

/// GitLab's status of a job.
pub(crate) fn job_status(state: &JobState) -> &'static str {
    status_name(state.kind())
}

/// GitLab's name of a job state.
pub(crate) fn status_name(state: StateName) -> &'static str {
    match state {
        StateName::Waiting => "created",
        // GitLab 8 has no status for manual jobs: it shows them as skipped until they are played.
        StateName::Manual | StateName::Skipped => "skipped",
        StateName::Pending => "pending",
        StateName::Running => "running",
        StateName::Succeeded => "success",
        StateName::Failed => "failed",
        StateName::Canceled => "canceled",
    }
}

/// A time in GitLab's format: ISO 8601 in UTC, with milliseconds.
pub(crate) fn timestamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The value of `artifacts.when`: after which results the runner uploads files.
pub(crate) fn artifacts_when(when: ArtifactsWhen) -> &'static str {
    match when {
        ArtifactsWhen::OnSuccess => "on_success",
        ArtifactsWhen::OnFailure => "on_failure",
        ArtifactsWhen::Always => "always",
    }
}

/// The branch or tag of a build; empty if the build was created for a commit alone.
pub(crate) fn ref_name(git_ref: Option<&GitRef>) -> String {
    git_ref.map(GitRef::to_string).unwrap_or_default()
}

/// The logins at registries that a job may use.
pub(crate) fn registry_credentials(claimed: &ClaimedJob) -> Vec<Credentials> {
    let logins = claimed.secrets.credentials.iter();
    logins.map(registry_login).collect()
}

/// A login at a registry, from `(registry, username, password)`.
pub(crate) fn registry_login(
    (registry, username, password): &(String, String, String),
) -> Credentials {
    Credentials {
        kind: "registry".to_owned(),
        url: registry.clone(),
        username: username.clone(),
        password: password.clone(),
    }
}

/// The variables that the farm sets for every job, by their names in GitLab 8.
pub(crate) fn predefined_variables(claimed: &ClaimedJob, logins: &[Credentials]) -> Vec<Variable> {
    let (job, build, project) = (&claimed.job, &claimed.build, &claimed.project);
    let public = |key: &str, value: String| Variable {
        key: key.to_owned(),
        value,
        public: true,
        file: false,
    };
    let mut list = vec![
        public("CI", "true".to_owned()),
        public("GITLAB_CI", "true".to_owned()),
        public("CI_BUILD_ID", job.id.to_string()),
        Variable {
            key: "CI_BUILD_TOKEN".to_owned(),
            value: claimed.token.expose().to_owned(),
            public: false,
            file: false,
        },
        public("CI_BUILD_REF", build.sha.to_string()),
        public("CI_BUILD_BEFORE_SHA", ZERO_SHA.to_owned()),
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
    // The shell lines read passwords from these variables, because runners print every line.
    for (position, login) in logins.iter().enumerate() {
        list.push(Variable {
            key: commands::password_variable(position),
            value: login.password.clone(),
            public: false,
            file: false,
        });
    }
    list
}

/// The variables of the job's script, then those of the project.
///
/// They follow the predefined ones: if a key occurs more than once, runners use the last value.
pub(crate) fn configured_variables(claimed: &ClaimedJob) -> impl Iterator<Item = Variable> {
    let script = match &claimed.job.spec {
        JobSpec::Script(script) => Some(script),
        JobSpec::ImageBuild(_) | JobSpec::ImageIndex(_) => None,
    };
    let of_script = script.into_iter().flat_map(|script| &script.variables);
    let of_script = of_script.map(|(key, value)| Variable {
        key: key.clone(),
        value: value.clone(),
        public: true,
        file: false,
    });
    let of_project = claimed.secrets.variables.iter();
    let of_project = of_project.map(move |variable| Variable {
        key: variable.key.clone(),
        value: variable.value.clone(),
        public: variable.public,
        // The secrets of an image build are read from the variables themselves.
        file: variable.file && script.is_some(),
    });
    of_script.chain(of_project)
}

/// The variables whose values a job gets in files.
pub(crate) fn file_variables(claimed: &ClaimedJob) -> Vec<String> {
    let mut last = std::collections::BTreeMap::new();
    for variable in configured_variables(claimed) {
        last.insert(variable.key, variable.file);
    }
    let files = last.into_iter().filter(|(_, file)| *file);
    files.map(|(key, _)| key).collect()
}

//! The farm's model in GitLab's words. Pure functions.

use chrono::{DateTime, SecondsFormat, Utc};
use slipway_domain::spec::ArtifactsWhen;
use slipway_domain::{GitRef, JobSpec, JobState, StateName};
use slipway_farm::ClaimedJob;
use slipway_protocol::{Credentials, Variable};

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

pub(crate) fn credentials(claimed: &ClaimedJob) -> Vec<Credentials> {
    claimed.secrets.credentials.iter().map(login).collect()
}

pub(crate) fn login((registry, username, password): &(String, String, String)) -> Credentials {
    Credentials {
        kind: "registry".to_owned(),
        url: registry.clone(),
        username: username.clone(),
        password: password.clone(),
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

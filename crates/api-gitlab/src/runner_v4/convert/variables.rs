//! The variables of a job: those of v1, and those that GitLab added or renamed since.

use slipway_farm::ClaimedJob;
use slipway_protocol::Credentials;

use crate::convert;
use crate::runner_v4::wire::Variable;

/// Length of `CI_COMMIT_SHORT_SHA`.
const SHORT_SHA: usize = 8;

/// All variables of a job: the predefined ones, then those of the script, then those of the
/// project. If a key occurs more than once, runners use the last value.
pub(crate) fn variables(
    claimed: &ClaimedJob,
    logins: &[Credentials],
    base_url: &str,
) -> Vec<Variable> {
    let from_v1 = |old: slipway_protocol::Variable| Variable {
        file: old.file,
        ..variable(old.key, old.value, old.public)
    };
    let predefined = convert::predefined_variables(claimed, logins).into_iter();
    let mut list: Vec<Variable> = predefined.map(from_v1).collect();
    list.extend(newer_variables(claimed, base_url));
    list.extend(convert::configured_variables(claimed).map(from_v1));
    list
}

/// The predefined variables that v1 does not have, or has under other names.
fn newer_variables(claimed: &ClaimedJob, base_url: &str) -> Vec<Variable> {
    let (job, build, project) = (&claimed.job, &claimed.build, &claimed.project);
    let sha = build.sha.to_string();
    let git_ref = convert::ref_name(build.git_ref.as_ref());
    let ref_key = if build.ref_is_tag {
        "CI_COMMIT_TAG"
    } else {
        "CI_COMMIT_BRANCH"
    };
    let mut public = vec![
        ("CI_SERVER", "yes".to_owned()),
        ("CI_SERVER_URL", base_url.to_owned()),
        ("CI_API_V4_URL", format!("{base_url}/api/v4")),
        ("CI_JOB_ID", job.id.to_string()),
        ("CI_JOB_NAME", job.name.clone()),
        ("CI_JOB_STAGE", job.stage.clone()),
        ("CI_COMMIT_SHORT_SHA", sha.chars().take(SHORT_SHA).collect()),
        ("CI_COMMIT_SHA", sha),
        ("CI_COMMIT_BEFORE_SHA", convert::ZERO_SHA.to_owned()),
        ("CI_COMMIT_REF_NAME", git_ref.clone()),
        ("CI_PROJECT_URL", format!("{base_url}/{}", project.path())),
    ];
    if !git_ref.is_empty() {
        public.push((ref_key, git_ref));
    }
    if build.sha.is_none() {
        // A build without a commit has no sources to fetch.
        public.push(("GIT_STRATEGY", "none".to_owned()));
    }
    let mut list: Vec<Variable> = public
        .into_iter()
        .map(|(key, value)| variable(key.to_owned(), value, true))
        .collect();
    let token = claimed.token.expose().to_owned();
    list.push(variable("CI_JOB_TOKEN".to_owned(), token, false));
    // A URL with a login in it must not appear in the trace.
    let repository = claimed.secrets.repository.url.clone();
    let has_login = repository.starts_with("http") && repository.contains('@');
    list.push(variable(
        "CI_REPOSITORY_URL".to_owned(),
        repository,
        !has_login,
    ));
    list
}

/// A variable whose value is used as it is, without `$` expansion. A value that is not public is
/// also masked in the trace.
fn variable(key: String, value: String, public: bool) -> Variable {
    Variable {
        key,
        value,
        public,
        file: false,
        masked: !public,
        raw: true,
    }
}

//! The variables of a job in the words of this generation, besides those of the one before.

use slipway_farm::ClaimedJob;
use slipway_protocol::Credentials;

use crate::convert;
use crate::runner_v4::wire::Variable;

/// How much of a commit's name its short one is.
const SHORT_SHA: usize = 8;

/// The variables, of which the last of a name wins: the farm's own, the script's, then the project's.
pub(crate) fn variables(claimed: &ClaimedJob, logins: &[Credentials], base: &str) -> Vec<Variable> {
    let of_farm = convert::farm_variables(claimed, logins).into_iter();
    let own = convert::own_variables(claimed);
    let told =
        |variable: slipway_protocol::Variable| shown(variable.key, variable.value, variable.public);
    let mut list: Vec<Variable> = of_farm.map(told).collect();
    list.extend(more(claimed, base));
    list.extend(own.map(told));
    list
}

/// Those that v1 does not have, or by other names.
fn more(claimed: &ClaimedJob, base: &str) -> Vec<Variable> {
    let (job, build, project) = (&claimed.job, &claimed.build, &claimed.project);
    let sha = build.sha.to_string();
    let git_ref = convert::ref_name(build.git_ref.as_ref());
    let named = match build.ref_is_tag {
        true => "CI_COMMIT_TAG",
        false => "CI_COMMIT_BRANCH",
    };
    let mut list = vec![
        ("CI_SERVER", "yes".to_owned()),
        ("CI_SERVER_URL", base.to_owned()),
        ("CI_API_V4_URL", format!("{base}/api/v4")),
        ("CI_JOB_ID", job.id.to_string()),
        ("CI_JOB_NAME", job.name.clone()),
        ("CI_JOB_STAGE", job.stage.clone()),
        ("CI_COMMIT_SHORT_SHA", sha.chars().take(SHORT_SHA).collect()),
        ("CI_COMMIT_SHA", sha),
        ("CI_COMMIT_BEFORE_SHA", convert::NO_SHA.to_owned()),
        ("CI_COMMIT_REF_NAME", git_ref.clone()),
        ("CI_PROJECT_URL", format!("{base}/{}", project.path())),
    ];
    if !git_ref.is_empty() {
        list.push((named, git_ref));
    }
    if build.sha.is_none() {
        // There is nothing to fetch.
        list.push(("GIT_STRATEGY", "none".to_owned()));
    }
    let list = list.into_iter();
    let mut list: Vec<Variable> = list
        .map(|(key, value)| shown(key.to_owned(), value, true))
        .collect();
    let token = claimed.token.expose().to_owned();
    list.push(shown("CI_JOB_TOKEN".to_owned(), token, false));
    let repository = claimed.secrets.repository.url.clone();
    let has_login = repository.starts_with("http") && repository.contains('@');
    list.push(shown(
        "CI_REPOSITORY_URL".to_owned(),
        repository,
        !has_login,
    ));
    list
}

/// A variable whose value is taken as it is; one that is not public is not shown in the trace either.
fn shown(key: String, value: String, public: bool) -> Variable {
    Variable {
        key,
        value,
        public,
        file: false,
        masked: !public,
        raw: true,
    }
}

//! The values that must not appear in a job's trace.

use slipway_domain::package::PackageSource;
use slipway_domain::{JobSpec, RunnerToken};
use slipway_masking::secrets::Secrets;
use slipway_masking::texts::Shortfall;
use slipway_protocol::JobPayload;

/// A value that must not appear in a trace. It has no `Debug`, so that it cannot be logged.
pub(crate) struct SecretValue {
    /// What people call it; `None` if they did not choose the value.
    name: Option<String>,
    value: String,
}

impl SecretValue {
    fn named(name: String, value: &str) -> Self {
        let (name, value) = (Some(name), value.to_owned());
        Self { name, value }
    }

    fn unnamed(value: impl Into<String>) -> Self {
        let (name, value) = (None, value.into());
        Self { name, value }
    }
}

/// Prepares the search for these values. It runs beside other work: for many large secrets it takes
/// long, and the job's heartbeats must not wait for it.
///
/// # Errors
/// Fails if there is a bug in the search.
pub(crate) async fn prepare(values: Vec<SecretValue>) -> std::io::Result<Secrets> {
    let new = move || Secrets::new(values.iter().map(|secret| secret.value.as_str()));
    Ok(tokio::task::spawn_blocking(new).await?)
}

/// A warning for each secret that is too short to be masked completely.
pub(crate) fn warnings(values: &[SecretValue]) -> Vec<String> {
    let warning = |secret: &SecretValue| {
        let (name, shortfall) = (secret.name.as_ref()?, Shortfall::of(&secret.value)?);
        Some(format!("Warning: {name} is {shortfall}"))
    };
    values.iter().filter_map(warning).collect()
}

/// Collects the secret variables, passwords, tokens and keys of a job, and this runner's token.
pub(crate) fn secrets_of(payload: &JobPayload, runner: &RunnerToken) -> Vec<SecretValue> {
    let own = payload.own.as_ref();
    let build = own.and_then(|own| match &own.spec {
        JobSpec::ImageBuild(build) => Some(build),
        JobSpec::Script(_) | JobSpec::ImageIndex(_) => None,
    });
    // A variable that a Dockerfile mounts as a secret is one, even if it is marked public.
    let is_mounted = |name: &str| {
        let mounted = build.map(|build| build.secrets.values().chain(&build.ssh));
        mounted.is_some_and(|mut mounted| mounted.any(|secret| secret == name))
    };
    let variables = payload
        .variables
        .iter()
        .filter(|variable| !variable.public || is_mounted(&variable.key))
        .map(|variable| SecretValue::named(variable.key.clone(), &variable.value));
    let pull_login = own.and_then(|own| own.pull_login.as_ref());
    let logins = payload.credentials.iter().chain(pull_login);
    let passwords = logins.map(|login| {
        let name = format!("the password of {} at {}", login.username, login.url);
        SecretValue::named(name, &login.password)
    });
    let needs = payload.depends_on_builds.iter();
    let tokens = needs
        .map(|need| need.token.as_str())
        .chain([payload.token.as_str(), runner.expose()])
        .map(SecretValue::unnamed);
    let rest = secrets_of_source(payload);
    let all = variables.chain(passwords).chain(tokens);
    all.chain(rest.into_iter().map(SecretValue::unnamed))
        .collect()
}

/// The secrets with which the sources of a job are fetched.
fn secrets_of_source(payload: &JobPayload) -> Vec<String> {
    let mut secrets = passwords_in(&payload.repo_url);
    let Some(own) = payload.own.as_ref() else {
        return secrets;
    };
    if let Some(PackageSource::Url(url)) = own.spec.package().map(|package| &package.source) {
        secrets.extend(passwords_in(url));
    }
    if let Some(source) = &own.source {
        secrets.extend(passwords_in(&source.url));
        secrets.extend(source.token.clone());
    }
    let checkout = own.checkout.as_ref();
    if let Some(key) = checkout.and_then(|checkout| checkout.deploy_key.as_ref()) {
        secrets.extend(key_lines(&key.private_key));
    }
    secrets
}

/// The password in a URL, percent-encoded as it is there and decoded: tools print either.
fn passwords_in(url: &str) -> Vec<String> {
    let Some(password) = reqwest::Url::parse(url)
        .ok()
        .and_then(|url| url.password().map(str::to_owned))
    else {
        return Vec::new();
    };
    let decoded = percent_encoding::percent_decode_str(&password)
        .decode_utf8_lossy()
        .into_owned();
    vec![password, decoded]
}

/// The body of a private key, as one text and line by line. The first and the last line are the
/// same in all keys, and masking them would only make traces harder to read.
fn key_lines(key: &str) -> Vec<String> {
    let lines: Vec<String> = key
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("-----"))
        .map(str::to_owned)
        .collect();
    [vec![lines.concat()], lines].concat()
}

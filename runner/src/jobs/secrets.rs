//! What of a job nobody is to read in its trace.

use slipway_domain::package::PackageSource;
use slipway_domain::{JobSpec, RunnerToken};
use slipway_protocol::JobPayload;

use crate::traces::mask::Secrets;

/// The values of variables that are not public, passwords, tokens and keys: the job's, and this
/// runner's own.
pub(crate) fn secrets_of(payload: &JobPayload, runner: &RunnerToken) -> Secrets {
    let own = payload.own.as_ref();
    let build = own.and_then(|own| match &own.spec {
        JobSpec::ImageBuild(build) => Some(build),
        JobSpec::Script(_) | JobSpec::ImageIndex(_) => None,
    });
    let named = |name: &str| {
        let named = build.map(|build| build.secrets.values().chain(&build.ssh));
        named.is_some_and(|mut named| named.any(|secret| secret == name))
    };
    let hidden = payload.variables.iter();
    let hidden = hidden.filter(|variable| !variable.public || named(&variable.key));
    let hidden = hidden.map(|variable| variable.value.as_str());
    let pull = own.and_then(|own| own.pull_login.as_ref());
    let passwords = payload.credentials.iter().chain(pull);
    let passwords = passwords.map(|login| login.password.as_str());
    let needs = payload.depends_on_builds.iter();
    let tokens = [payload.token.as_str(), runner.expose()];
    let mut login = login_of(&payload.repo_url);
    let package = own.and_then(|own| own.spec.package());
    if let Some(PackageSource::Url(url)) = package.map(|package| &package.source) {
        login.extend(login_of(url));
    }
    let source = own.and_then(|own| own.source.as_ref());
    if let Some(source) = source {
        login.extend(login_of(&source.url));
        login.extend(source.token.clone());
    }
    let checkout = own.and_then(|own| own.checkout.as_ref());
    if let Some(key) = checkout.and_then(|checkout| checkout.deploy_key.as_ref()) {
        login.extend(key_lines(&key.private_key));
    }
    let tokens = needs.map(|need| need.token.as_str()).chain(tokens);
    let all = hidden.chain(passwords).chain(tokens);
    Secrets::new(all.chain(login.iter().map(String::as_str)))
}

/// The password in the address of a repository or a package, as it stands there and as it is meant.
fn login_of(url: &str) -> Vec<String> {
    let Some(password) = reqwest::Url::parse(url)
        .ok()
        .and_then(|url| url.password().map(str::to_owned))
    else {
        return Vec::new();
    };
    let plain = percent_encoding::percent_decode_str(&password);
    let plain = plain.decode_utf8_lossy().into_owned();
    vec![password, plain]
}

/// A private key, whole and line by line, but for the lines around it that all keys have.
fn key_lines(key: &str) -> Vec<String> {
    let lines = key.lines().map(str::trim);
    let telling = lines.filter(|line| !line.is_empty() && !line.starts_with("-----"));
    let telling: Vec<String> = telling.map(str::to_owned).collect();
    [vec![telling.concat()], telling].concat()
}

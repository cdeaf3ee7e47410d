//! How a build request is said to the engine.

use std::collections::HashMap;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::{BuildImageOptions, BuilderVersion};
use chrono::{DateTime, SecondsFormat};
use slipway_domain::ImageBuild;

use crate::builder::Backend;
use crate::images::cleanup::{JOB_LABEL, OWNER_LABEL};
use crate::request::{BuildRequest, Login};

/// The build argument by which the engine is told to write down in an image how it was made.
const INLINE_CACHE: &str = "BUILDKIT_INLINE_CACHE";
/// The build argument by which build tools, and newer engines, are told how old to make things.
const SOURCE_DATE: &str = "SOURCE_DATE_EPOCH";

/// The options of one build.
///
/// Only what is named here reaches the engine: the host's network, extra hosts, devices and
/// privileges stay out of a job's hands.
pub(crate) fn build_options(
    request: &BuildRequest,
    backend: Backend,
    owner: &str,
    name: &str,
) -> BuildImageOptions {
    let spec = &request.spec;
    let mut args: HashMap<String, String> = spec.args.clone().into_iter().collect();
    if let Some(date) = request.source_date {
        args.entry(SOURCE_DATE.to_owned())
            .or_insert_with(|| date.to_string());
    }
    BuildImageOptions {
        t: Some(name.to_owned()),
        nocache: spec.no_cache,
        pull: spec.pull.then(|| "true".to_owned()),
        rm: true,
        forcerm: true,
        buildargs: Some(args),
        labels: Some(labels(request, owner)),
        target: spec.target.clone().unwrap_or_default(),
        version: match backend {
            Backend::BuildKit => BuilderVersion::BuilderBuildKit,
            Backend::Classic => BuilderVersion::BuilderV1,
        },
        platform: spec
            .platforms
            .first()
            .map_or_else(String::new, ToString::to_string),
        ..BuildImageOptions::default()
    }
}

/// The options of a build that may take layers from the images `caches`, and whose own image others
/// may take layers from.
pub(crate) fn with_cache(
    mut options: BuildImageOptions,
    request: &BuildRequest,
    backend: Backend,
    caches: Vec<String>,
) -> BuildImageOptions {
    options.cachefrom = (!caches.is_empty()).then_some(caches);
    // BuildKit finds layers in an image only if that says how they were made. Where they are
    // wanted from an image, the next one will be wanted too.
    if backend == Backend::BuildKit && wants_cache(&request.spec) {
        let args = options.buildargs.get_or_insert_default();
        args.insert(INLINE_CACHE.to_owned(), "1".to_owned());
    }
    options
}

/// Whether somebody may want layers of the image.
fn wants_cache(spec: &ImageBuild) -> bool {
    spec.cache_tag.is_some() || spec.fallback_cache_tag.is_some() || spec.cache_to.is_some()
}

/// The labels of the image: where it came from, what the spec asks for, and whose it is here.
fn labels(request: &BuildRequest, owner: &str) -> HashMap<String, String> {
    let oci = |name: &str| format!("org.opencontainers.image.{name}");
    let date = request.source_date;
    let date = date.and_then(|date| DateTime::from_timestamp(date.into(), 0));
    let created = date.unwrap_or(request.origin.created);
    let created = created.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut labels = HashMap::from([(oci("created"), created)]);
    if let Some(source) = &request.origin.source {
        labels.insert(oci("source"), source.clone());
    }
    if let Some(revision) = &request.origin.revision {
        labels.insert(oci("revision"), revision.clone());
    }
    labels.extend(request.spec.labels.clone());
    if request.source_date.is_some() {
        // Whoever makes it again is to get the same; it is found by its name here.
        labels.remove(JOB_LABEL);
        labels.remove(OWNER_LABEL);
        return labels;
    }
    labels.insert(JOB_LABEL.to_owned(), request.job.clone());
    labels.insert(OWNER_LABEL.to_owned(), owner.to_owned());
    labels
}

/// The logins under the names by which the engine looks them up.
pub(crate) fn credentials(logins: &[Login]) -> HashMap<String, DockerCredentials> {
    const HUB: &str = "https://index.docker.io/v1/";
    logins
        .iter()
        .map(|login| {
            let server = match is_hub(&login.registry) {
                true => HUB,
                false => login.registry.as_str(),
            };
            (server.to_owned(), credentials_of(login))
        })
        .collect()
}

/// Whether this is one of the names of the hub.
pub(crate) fn is_hub(registry: &str) -> bool {
    ["docker.io", "index.docker.io", "registry-1.docker.io"].contains(&registry)
}

/// One login as the engine takes it.
pub(crate) fn credentials_of(login: &Login) -> DockerCredentials {
    DockerCredentials {
        username: Some(login.username.clone()),
        password: Some(login.password.clone()),
        serveraddress: Some(login.registry.clone()),
        ..DockerCredentials::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_cannot_take_the_labels_that_say_whose_an_image_is() {
        let mut spec = ImageBuild::default();
        spec.labels.insert(JOB_LABEL.to_owned(), "other".to_owned());
        spec.labels.insert(
            "org.opencontainers.image.source".to_owned(),
            "mine".to_owned(),
        );
        let request = BuildRequest {
            job: "7".to_owned(),
            checkout: "/".into(),
            spec,
            origin: crate::Origin {
                source: Some("https://example.org/a".to_owned()),
                revision: Some("abc".to_owned()),
                created: chrono::DateTime::UNIX_EPOCH,
            },
            logins: Vec::new(),
            pull_login: None,
            variables: crate::Variables::default(),
            scratch: "/".into(),
            source_date: None,
        };
        let labels = labels(&request, "me");
        assert_eq!(labels[JOB_LABEL], "7");
        assert_eq!(labels[OWNER_LABEL], "me");
        assert_eq!(labels["org.opencontainers.image.source"], "mine");
        assert_eq!(labels["org.opencontainers.image.revision"], "abc");
        assert_eq!(
            labels["org.opencontainers.image.created"],
            "1970-01-01T00:00:00Z"
        );
    }
}

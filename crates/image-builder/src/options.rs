//! How a build request is said to the engine.

use std::collections::HashMap;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::{BuildImageOptions, BuilderVersion};
use chrono::SecondsFormat;
use slipway_domain::Platform;

use crate::builder::Backend;
use crate::clean::{JOB_LABEL, OWNER_LABEL};
use crate::request::{BuildRequest, Login};

/// The build argument by which the engine is told to write down in an image how it was made.
const INLINE_CACHE: &str = "BUILDKIT_INLINE_CACHE";

/// The options of one build.
///
/// Only what is named here reaches the engine: the host's network, extra hosts, devices and
/// privileges stay out of a job's hands.
pub(crate) fn build_options(
    request: &BuildRequest,
    backend: Backend,
    owner: &str,
    dockerfile: &str,
    name: &str,
) -> BuildImageOptions {
    let spec = &request.spec;
    let (version, session) = match backend {
        // A session is answered once; a build never shares its name with another.
        Backend::BuildKit => (
            BuilderVersion::BuilderBuildKit,
            Some(format!("{:032x}", rand::random::<u128>())),
        ),
        Backend::Classic => (BuilderVersion::BuilderV1, None),
    };
    BuildImageOptions {
        dockerfile: dockerfile.to_owned(),
        t: Some(name.to_owned()),
        nocache: spec.no_cache,
        pull: spec.pull.then(|| "true".to_owned()),
        rm: true,
        forcerm: true,
        buildargs: Some(spec.args.clone().into_iter().collect()),
        labels: Some(labels(request, owner)),
        target: spec.target.clone().unwrap_or_default(),
        platform: spec
            .platforms
            .first()
            .map(Platform::to_string)
            .unwrap_or_default(),
        version,
        session,
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
    if backend == Backend::BuildKit && request.spec.cache_tag.is_some() {
        let args = options.buildargs.get_or_insert_default();
        args.insert(INLINE_CACHE.to_owned(), "1".to_owned());
    }
    options
}

/// The labels of the image: where it came from, what the spec asks for, and whose it is here.
fn labels(request: &BuildRequest, owner: &str) -> HashMap<String, String> {
    let oci = |name: &str| format!("org.opencontainers.image.{name}");
    let mut labels = HashMap::from([(
        oci("created"),
        request
            .origin
            .created
            .to_rfc3339_opts(SecondsFormat::Secs, true),
    )]);
    if let Some(source) = &request.origin.source {
        labels.insert(oci("source"), source.clone());
    }
    if let Some(revision) = &request.origin.revision {
        labels.insert(oci("revision"), revision.clone());
    }
    labels.extend(request.spec.labels.clone());
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
            let server = match login.registry.as_str() {
                "docker.io" | "index.docker.io" | "registry-1.docker.io" => HUB,
                other => other,
            };
            (server.to_owned(), credentials_of(login))
        })
        .collect()
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
    use slipway_domain::ImageBuild;

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

//! The options of the engine's build request.

use std::collections::HashMap;

use bollard::query_parameters::{BuildImageOptions, BuilderVersion};
use chrono::{DateTime, SecondsFormat};
use slipway_domain::ImageBuild;

use crate::builder::Backend;
use crate::cache_scope::CacheScope;
use crate::labels::{JOB_LABEL, OWNER_LABEL};
use crate::request::BuildRequest;

/// The build argument that makes BuildKit record in an image how its layers were made.
const INLINE_CACHE_ARG: &str = "BUILDKIT_INLINE_CACHE";
/// The build argument with the namespace in which BuildKit looks up the ids of cache mounts.
const MOUNT_NAMESPACE_ARG: &str = "BUILDKIT_CACHE_MOUNT_NS";
/// The build argument by which build tools, and newer engines, set the times in what they create.
const SOURCE_DATE_ARG: &str = "SOURCE_DATE_EPOCH";

/// A name that no image has.
const NO_IMAGE: &str = "slipway-job:none";

/// The options of one build, whose image is called `name` in the engine.
///
/// Only what is listed here reaches the engine: a job cannot use the host's network, extra hosts,
/// devices or privileges. With `asks_registry`, the engine looks up every base image in its registry
/// even if it has one of that name.
pub(crate) fn build_options(
    request: &BuildRequest,
    backend: Backend,
    owner: &str,
    name: &str,
    asks_registry: bool,
) -> BuildImageOptions {
    let spec = &request.spec;
    let mut args: HashMap<String, String> = spec.args.clone().into_iter().collect();
    // An argument of the spec wins over the date of the request.
    if let Some(date) = request.source_date {
        args.entry(SOURCE_DATE_ARG.to_owned())
            .or_insert_with(|| date.to_string());
    }
    BuildImageOptions {
        t: Some(name.to_owned()),
        nocache: spec.no_cache,
        pull: (spec.pull || asks_registry).then(|| "true".to_owned()),
        rm: true,
        forcerm: true,
        buildargs: Some(args),
        labels: Some(image_labels(request, owner)),
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

/// Adds the images whose layers the build may reuse, and makes its own layers reusable if the spec
/// uses a cache.
pub(crate) fn with_cache(
    mut options: BuildImageOptions,
    request: &BuildRequest,
    backend: Backend,
    cache_images: Vec<String>,
) -> BuildImageOptions {
    options.cachefrom = (!cache_images.is_empty()).then_some(cache_images);
    // BuildKit reuses layers of an image only if the image records how they were made. A build
    // that looks for layers in an image will be the source for the next one.
    if backend == Backend::BuildKit && is_cache_source(&request.spec) {
        let args = options.buildargs.get_or_insert_default();
        args.insert(INLINE_CACHE_ARG.to_owned(), "1".to_owned());
    }
    options
}

/// Keeps the cache of a build apart from that of other scopes.
///
/// BuildKit has an option for cache mounts. For steps it has none, but the names of extra hosts are in
/// the key of each command, and neither in the image nor in its history. The classic builder looks for
/// layers only in the images that the request names; `kept` are those of the scope. Podman ignores that, so
/// it has to do without a cache.
pub(crate) fn with_scope(
    mut options: BuildImageOptions,
    scope: &CacheScope,
    backend: Backend,
    is_podman: bool,
    kept: Vec<String>,
) -> BuildImageOptions {
    match backend {
        Backend::BuildKit => {
            let args = options.buildargs.get_or_insert_default();
            args.insert(MOUNT_NAMESPACE_ARG.to_owned(), scope.mounts());
            options.extrahosts = Some(format!("{}:127.0.0.1", scope.host()));
        }
        Backend::Classic if is_podman => options.nocache = true,
        Backend::Classic => {
            let images = options.cachefrom.get_or_insert_default();
            images.extend(kept);
            // Without any name, it would look everywhere.
            if images.is_empty() {
                images.push(NO_IMAGE.to_owned());
            }
        }
    }
    options
}

/// Whether other builds may reuse layers of the image.
fn is_cache_source(spec: &ImageBuild) -> bool {
    spec.cache_tag.is_some() || spec.fallback_cache_tag.is_some() || spec.cache_to.is_some()
}

/// The labels of the image: the standard OCI labels, those of the spec, and the job and its owner.
fn image_labels(request: &BuildRequest, owner: &str) -> HashMap<String, String> {
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
        // A reproducible image must not differ from job to job, so it has neither label. Cleanup
        // finds it by its name.
        labels.remove(JOB_LABEL);
        labels.remove(OWNER_LABEL);
        return labels;
    }
    // Ours come last: a spec must not pass its image off as another job's.
    labels.insert(JOB_LABEL.to_owned(), request.job.clone());
    labels.insert(OWNER_LABEL.to_owned(), owner.to_owned());
    labels
}

#[cfg(test)]
mod tests {
    use slipway_build_context::FileModes;

    use super::*;
    use crate::request::{Origin, Variables};

    #[test]
    fn a_spec_cannot_override_the_job_and_owner_labels() {
        let mut spec = ImageBuild::default();
        spec.labels.insert(JOB_LABEL.to_owned(), "other".to_owned());
        spec.labels.insert(
            "org.opencontainers.image.source".to_owned(),
            "mine".to_owned(),
        );
        let request = BuildRequest {
            job: "7".to_owned(),
            checkout: "/".into(),
            modes: FileModes::default(),
            spec,
            origin: Origin {
                source: Some("https://example.org/a".to_owned()),
                revision: Some("abc".to_owned()),
                created: DateTime::UNIX_EPOCH,
            },
            logins: Vec::new(),
            pull_login: None,
            variables: Variables::default(),
            scratch: "/".into(),
            source_date: None,
            cache_scope: None,
        };
        let labels = image_labels(&request, "me");
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

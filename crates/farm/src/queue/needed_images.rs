//! Fills in the spec of a claimed job which images other jobs of its build made.

use slipway_domain::spec::{ImageIndex, PlatformImage};
use slipway_domain::{JobSpec, Name};
use slipway_store::artifacts::{Artifact, Content};
use slipway_store::jobs::Job;

/// The build argument that makes `BuildKit` write cache metadata into the image, so that other
/// builds can take layers from it.
const INLINE_CACHE: &str = "BUILDKIT_INLINE_CACHE";

/// `job` with the images of the jobs it needs, by digest. With `is_cache`, its own image gets the
/// metadata that others need to take layers from it.
pub(crate) fn with_needed_images(
    mut job: Job,
    needs: &[(Job, Vec<Artifact>)],
    is_cache: bool,
) -> Job {
    let image_of = |name: &Name| {
        let (_, made) = needs.iter().find(|(need, _)| need.name == name.as_str())?;
        made.iter().find_map(|artifact| match &artifact.content {
            Content::Image {
                reference, digest, ..
            } if reference != digest => Some(pinned(reference, digest)),
            // An image that is known by its digest alone was not pushed and cannot be pulled.
            _ => None,
        })
    };
    match &mut job.spec {
        JobSpec::ImageBuild(image) => {
            // Taken out of the spec: runners know only plain arguments.
            let args = std::mem::take(&mut image.image_args);
            let pushed = args
                .into_iter()
                .filter_map(|(key, of)| Some((key, image_of(&of)?)));
            image.args.extend(pushed);
            image.cache_image = image.cache_of.take().and_then(|of| image_of(&of));
            if is_cache {
                image.args.insert(INLINE_CACHE.to_owned(), "1".to_owned());
            }
        }
        JobSpec::Script(script) => {
            if let Some(of) = &script.image_of {
                script.image = image_of(of);
            }
        }
        JobSpec::ImageIndex(index) => index.images = images_for_index(index, needs),
    }
    job
}

/// The images of an index that were made, each with the platform that it reports or, without one,
/// that its job asked for.
fn images_for_index(index: &ImageIndex, needs: &[(Job, Vec<Artifact>)]) -> Vec<PlatformImage> {
    let of = |name: &Name| {
        let (need, made) = needs.iter().find(|(need, _)| need.name == name.as_str())?;
        let asked = match &need.spec {
            JobSpec::ImageBuild(image) => image.platforms.first(),
            _ => None,
        };
        made.iter().find_map(|artifact| match &artifact.content {
            Content::Image {
                digest, details, ..
            } => Some(PlatformImage {
                platform: details.platform.as_ref().or(asked)?.clone(),
                digest: digest.clone(),
                size_bytes: artifact.size_bytes,
            }),
            _ => None,
        })
    };
    index.images_of.iter().filter_map(of).collect()
}

/// Whether a job of the build takes layers from the image of `job`, by the name of the job or of the
/// index that the image is a part of.
pub(crate) fn is_cache_source(job: &Job, build: &[Job]) -> bool {
    let is_it = |name: &Name| name.as_str() == job.name;
    let indexes = build
        .iter()
        .filter(|other| other.spec.parts().iter().any(is_it));
    // A job may name the index instead of the platform job that is a part of it.
    let names: Vec<&str> = indexes.chain([job]).map(|job| job.name.as_str()).collect();
    build.iter().any(|other| match &other.spec {
        JobSpec::ImageBuild(image) => {
            let of = image.cache_of.as_ref();
            of.is_some_and(|of| names.contains(&of.as_str()))
        }
        JobSpec::Script(_) | JobSpec::ImageIndex(_) => false,
    })
}

/// A reference with the digest instead of the tag.
fn pinned(reference: &str, digest: &str) -> String {
    let name = reference.split('@').next().unwrap_or(reference);
    // A colon after the last slash begins a tag; one before it begins a port.
    let end = name.rfind('/').map_or(0, |slash| slash + 1);
    let name = match name[end..].find(':') {
        Some(colon) => &name[..end + colon],
        None => name,
    };
    format!("{name}@{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_reference_has_the_digest_instead_of_the_tag() {
        let pinned = |reference| pinned(reference, "sha256:1");
        assert_eq!(pinned("host:5000/a/b:1.2"), "host:5000/a/b@sha256:1");
        assert_eq!(pinned("host:5000/a/b"), "host:5000/a/b@sha256:1");
        assert_eq!(pinned("a/b:1@sha256:0"), "a/b@sha256:1");
    }
}

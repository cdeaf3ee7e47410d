//! What a claimed job gets of the images that other jobs of its build made.

use slipway_domain::spec::{ImageIndex, PlatformImage};
use slipway_domain::{JobSpec, Name};
use slipway_store::artifacts::{Artifact, Content};
use slipway_store::jobs::Job;

/// The build argument by which `BuildKit` is told to write down in an image how it was made, so that
/// others can take layers from it.
const INLINE_CACHE: &str = "BUILDKIT_INLINE_CACHE";

/// `job` with the images of the jobs that it needs by their digests, and fit for those that take
/// layers from its own.
pub(crate) fn with_images(mut job: Job, needs: &[(Job, Vec<Artifact>)], is_cache: bool) -> Job {
    let image_of = |name: &Name| {
        let (_, made) = needs.iter().find(|(need, _)| need.name == name.as_str())?;
        made.iter().find_map(|artifact| match &artifact.content {
            Content::Image {
                reference, digest, ..
            } if reference != digest => Some(pinned(reference, digest)),
            // What was not pushed is nowhere to be had.
            _ => None,
        })
    };
    match &mut job.spec {
        JobSpec::ImageBuild(image) => {
            let args = std::mem::take(&mut image.image_args);
            let told = args
                .into_iter()
                .filter_map(|(key, of)| Some((key, image_of(&of)?)));
            image.args.extend(told);
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

/// The images that an index is made of, as far as they were made, for the platform that they say or
/// that was asked for.
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

/// Whether some job of the build takes layers from the image of `job`, by its own name or by that of
/// the index that it is a part of.
pub(crate) fn gives_layers(job: &Job, build: &[Job]) -> bool {
    let is_it = |name: &Name| name.as_str() == job.name;
    let indexes = build
        .iter()
        .filter(|other| other.spec.parts().iter().any(is_it));
    let names: Vec<&str> = indexes.chain([job]).map(|job| job.name.as_str()).collect();
    build.iter().any(|other| match &other.spec {
        JobSpec::ImageBuild(image) => {
            let of = image.cache_of.as_ref();
            of.is_some_and(|of| names.contains(&of.as_str()))
        }
        JobSpec::Script(_) | JobSpec::ImageIndex(_) => false,
    })
}

/// The reference of an image by its digest, in the place of its tag.
fn pinned(reference: &str, digest: &str) -> String {
    let name = reference.split('@').next().unwrap_or(reference);
    // A colon after the last slash begins a tag; one before it, a port.
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
    fn an_image_is_named_by_its_digest() {
        let told = |reference| pinned(reference, "sha256:1");
        assert_eq!(told("host:5000/a/b:1.2"), "host:5000/a/b@sha256:1");
        assert_eq!(told("host:5000/a/b"), "host:5000/a/b@sha256:1");
        assert_eq!(told("a/b:1@sha256:0"), "a/b@sha256:1");
    }
}

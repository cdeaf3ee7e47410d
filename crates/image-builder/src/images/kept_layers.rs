//! The layer cache of engines without BuildKit: the images of earlier builds.
//!
//! Such an engine finds layers to reuse in the images that it has, and deletes those of an image
//! together with it. So the image of the last successful build of each kind is kept under a name of
//! its own, which tells when it was built. [`Builder::prune`] limits them.

use std::cmp::Reverse;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::models::ImageSummary;
use bollard::query_parameters::{ListImagesOptions, TagImageOptions};
use sha2::{Digest as _, Sha256};

use crate::builder::{Backend, Builder};
use crate::cache_scope::CacheScope;
use crate::engine::failures::engine_error;
use crate::error::BuildError;
use crate::labels::BUILD_NAME_PREFIX;
use crate::request::BuildRequest;

/// How many bytes of the hash of a kind are in a name.
const KIND_BYTES: usize = 12;

/// An image that is kept for its layers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    name: String,
    /// When it was built, in seconds since 1970.
    built_at: u64,
    size_bytes: u64,
}

impl Builder {
    /// Keeps the layers of the image that was built for this request, and lets go of those of the
    /// last one of its kind. Does nothing with BuildKit, which has a cache of its own.
    ///
    /// # Errors
    /// `HostFailed` or `EngineUnavailable` if the engine fails.
    pub(crate) async fn keep_layers(
        &self,
        request: &BuildRequest,
        id: &str,
    ) -> Result<(), BuildError> {
        if self.backend() == Backend::BuildKit || request.spec.no_cache {
            return Ok(());
        }
        let scope = self.kept_scope_prefix(request);
        let kind = format!("{scope}{}-", kind_of(request));
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = now.unwrap_or_default().as_secs();
        // Others must not be able to guess the name and use the image as a base.
        let tag = format!("{kind}{:016x}-{seconds}", rand::random::<u64>());
        let options = TagImageOptions {
            repo: Some(BUILD_NAME_PREFIX.trim_end_matches(':').to_owned()),
            tag: Some(tag.clone()),
        };
        self.engine()
            .tag_image(id, Some(options))
            .await
            .map_err(engine_error)?;
        // Only now: the old image may share layers with the new one.
        for kept in self.kept_images().await? {
            let is_same_kind = kept.name.contains(&format!(":{kind}"));
            if is_same_kind && !kept.name.ends_with(&format!(":{tag}")) {
                self.remove_tag(&kept.name).await?;
            }
        }
        Ok(())
    }

    /// The names of the images that are kept for builds of the same scope, the latest first.
    pub(crate) async fn kept_for(&self, request: &BuildRequest) -> Result<Vec<String>, BuildError> {
        let prefix = format!(":{}", self.kept_scope_prefix(request));
        let mut kept = self.kept_images().await?;
        kept.retain(|image| image.name.contains(&prefix));
        kept.sort_by_key(|image| Reverse(image.built_at));
        Ok(kept.into_iter().map(|image| image.name).collect())
    }

    fn kept_scope_prefix(&self, request: &BuildRequest) -> String {
        let scope = request.cache_scope.as_ref();
        let scope = scope.map_or_else(|| "all".to_owned(), CacheScope::kept);
        format!("{}{scope}-", self.kept_tag_prefix())
    }

    /// Deletes kept images, the oldest first, until the others have at most `max_bytes` together.
    /// Returns the size of the deleted ones.
    pub(crate) async fn prune_kept(&self, max_bytes: u64) -> Result<u64, BuildError> {
        let kept = self.kept_images().await?;
        self.remove_kept(beyond(kept, max_bytes)).await
    }

    /// Deletes the images that were kept more than `age` ago. Returns their size.
    pub(crate) async fn prune_kept_for(&self, age: Duration) -> Result<u64, BuildError> {
        let since = SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH);
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut kept = self.kept_images().await?;
        kept.retain(|image| image.built_at < since.as_secs());
        self.remove_kept(kept).await
    }

    async fn remove_kept(&self, images: Vec<Kept>) -> Result<u64, BuildError> {
        let mut bytes = 0;
        for image in images {
            self.remove_tag(&image.name).await?;
            bytes += image.size_bytes;
        }
        Ok(bytes)
    }

    /// Whether an image has a name under which this owner keeps it.
    pub(crate) fn is_kept(&self, names: &[String]) -> bool {
        let prefix = format!(":{}", self.kept_tag_prefix());
        names.iter().any(|name| name.contains(&prefix))
    }

    async fn kept_images(&self) -> Result<Vec<Kept>, BuildError> {
        if self.backend() == Backend::BuildKit {
            return Ok(Vec::new());
        }
        let images = self
            .engine()
            .list_images(None::<ListImagesOptions>)
            .await
            .map_err(engine_error)?;
        let prefix = format!(":{}", self.kept_tag_prefix());
        let kept = images.iter().flat_map(|image| kept_in(image, &prefix));
        Ok(kept.collect())
    }
}

/// The names of an image under which it is kept.
fn kept_in(image: &ImageSummary, prefix: &str) -> Vec<Kept> {
    let names = image.repo_tags.iter();
    let kept = names.filter(|name| name.contains(prefix)).map(|name| {
        let built_at = name.rsplit_once('-').and_then(|(_, at)| at.parse().ok());
        Kept {
            name: name.clone(),
            built_at: built_at.unwrap_or(0),
            size_bytes: u64::try_from(image.size).unwrap_or(0),
        }
    });
    kept.collect()
}

/// Those of `images` that do not fit into `max_bytes` together with all newer ones.
fn beyond(mut images: Vec<Kept>, max_bytes: u64) -> Vec<Kept> {
    images.sort_by_key(|image| Reverse(image.built_at));
    let mut bytes: u64 = 0;
    let fits = images.iter().take_while(|image| {
        bytes = bytes.saturating_add(image.size_bytes);
        bytes <= max_bytes
    });
    let count = fits.count();
    images.split_off(count)
}

/// A hash of what makes two builds likely to share layers.
fn kind_of(request: &BuildRequest) -> String {
    let spec = &request.spec;
    let platform = spec.platforms.first().map(ToString::to_string);
    let parts = [
        request.origin.source.as_deref(),
        spec.repository
            .as_ref()
            .map(|repository| repository.as_str()),
        Some(spec.dockerfile.as_str()),
        spec.target.as_deref(),
        platform.as_deref(),
        // Branches differ in what they build.
        spec.cache_tag.as_deref(),
    ];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.unwrap_or_default());
        hash.update([0]);
    }
    let hash = hash.finalize();
    let bytes = hash.iter().take(KIND_BYTES);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(name: &str, built_at: u64, size_bytes: u64) -> Kept {
        Kept {
            name: name.to_owned(),
            built_at,
            size_bytes,
        }
    }

    #[test]
    fn the_oldest_images_that_do_not_fit_are_deleted() {
        let images = vec![kept("b", 2, 30), kept("a", 1, 1), kept("c", 3, 20)];
        let names = |max_bytes| -> Vec<String> {
            let beyond = beyond(images.clone(), max_bytes);
            beyond.into_iter().map(|image| image.name).collect()
        };
        assert!(names(51).is_empty());
        assert_eq!(names(50), ["a"]);
        assert_eq!(names(49), ["b", "a"]);
        assert_eq!(names(0), ["c", "b", "a"]);
    }

    #[test]
    fn the_name_of_a_kept_image_tells_when_it_was_built() {
        let image = ImageSummary {
            repo_tags: vec![
                "localhost/slipway-job:slipway-cache-01-kept-ab-1700000000".to_owned(),
                "slipway-job:slipway-cache-01-built-7".to_owned(),
            ],
            size: 7,
            ..ImageSummary::default()
        };
        let name = &image.repo_tags[0];
        let expected = kept(name, 1_700_000_000, 7);
        assert_eq!(kept_in(&image, ":slipway-cache-01-kept-"), [expected]);
    }
}

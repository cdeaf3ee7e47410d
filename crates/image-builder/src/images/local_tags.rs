//! The names that images of this owner have in the engine, for as long as a job needs them.
//!
//! Every name contains a hash of the owner, so that builders which share an engine do not delete
//! each other's tags, and a part that other jobs cannot guess: they could use the image as a base.

use bollard::query_parameters::{ListImagesOptions, RemoveImageOptions};
use sha2::{Digest as _, Sha256};

use crate::builder::Builder;
use crate::engine::failures::{engine_error, ignore_missing};
use crate::error::BuildError;
use crate::labels::BUILD_NAME_PREFIX;

/// The prefix of the tags of all owners.
const TAG_PREFIX: &str = "slipway-cache-";
/// How many bytes of the owner's hash are in a tag.
const OWNER_BYTES: usize = 6;
/// How many bytes of a hash of the secret are in a tag.
const SECRET_BYTES: usize = 16;

impl Builder {
    /// The name of the image that is built for `job`.
    pub(crate) fn built_name(&self, job: &str) -> String {
        format!("{BUILD_NAME_PREFIX}{}", self.built_tag(job))
    }

    /// The repository and the tag of the image that the container of `job` is saved as.
    pub fn saved_name(&self, job: &str) -> (String, String) {
        let repository = BUILD_NAME_PREFIX.trim_end_matches(':').to_owned();
        let tag = format!("{}saved-{}", self.tag_prefix(), self.secret_name(job));
        (repository, tag)
    }

    fn built_tag(&self, job: &str) -> String {
        format!("{}built-{}", self.tag_prefix(), self.secret_name(job))
    }

    /// The tag of the base image that was pulled for `job`.
    pub(crate) fn base_tag(&self, job: &str) -> String {
        format!("{}base-{}", self.tag_prefix(), self.secret_name(job))
    }

    /// The tag of the image of another job that `job` runs in.
    pub(crate) fn job_image_tag(&self, job: &str) -> String {
        format!("{}made-{}", self.tag_prefix(), self.secret_name(job))
    }

    /// The tag of the image of the branch whose layers `job` may reuse.
    pub(crate) fn branch_cache_tag(&self, job: &str) -> String {
        format!("{}{}", self.tag_prefix(), self.secret_name(job))
    }

    /// The tag of one of the other images whose layers `job` may reuse.
    pub(crate) fn extra_cache_tag(&self, index: usize, job: &str) -> String {
        let suffix = self.extra_cache_suffix(job);
        format!("{}more-{index}{suffix}", self.tag_prefix())
    }

    /// The prefix of the tags of images that are kept for their layers.
    pub(crate) fn kept_tag_prefix(&self) -> String {
        format!("{}kept-", self.tag_prefix())
    }

    /// Deletes all tags of images that were pulled or built for `job`.
    pub(crate) async fn remove_tags_of(&self, job: &str) -> Result<(), BuildError> {
        let own = [
            self.branch_cache_tag(job),
            self.base_tag(job),
            self.job_image_tag(job),
            self.built_tag(job),
            self.saved_name(job).1,
        ];
        let own = own.map(|tag| format!(":{tag}"));
        let extra_prefix = format!(":{}more-", self.tag_prefix());
        let extra_suffix = self.extra_cache_suffix(job);
        let is_extra = |name: &str| name.contains(&extra_prefix) && name.ends_with(&extra_suffix);
        self.remove_tags(|name| own.iter().any(|own| name.ends_with(own)) || is_extra(name))
            .await
            .map(drop)
    }

    /// Deletes all tags of this owner, except those of images that are kept for their layers;
    /// returns how many there were.
    pub(crate) async fn remove_all_tags(&self) -> Result<usize, BuildError> {
        let prefix = format!(":{}", self.tag_prefix());
        let kept = format!(":{}", self.kept_tag_prefix());
        self.remove_tags(|name| name.contains(&prefix) && !name.contains(&kept))
            .await
    }

    async fn remove_tags(&self, is_wanted: impl Fn(&str) -> bool) -> Result<usize, BuildError> {
        let images = self
            .engine()
            .list_images(None::<ListImagesOptions>)
            .await
            .map_err(engine_error)?;
        let names = images.into_iter().flat_map(|image| image.repo_tags);
        let mut count = 0;
        for name in names.filter(|name| is_wanted(name)) {
            self.remove_tag(&name).await?;
            count += 1;
        }
        Ok(count)
    }

    /// Deletes a name, and its image with the last name.
    pub(crate) async fn remove_tag(&self, name: &str) -> Result<(), BuildError> {
        let options = RemoveImageOptions {
            noprune: false,
            ..RemoveImageOptions::default()
        };
        let removed = self.engine().remove_image(name, Some(options), None).await;
        ignore_missing(removed.map(drop))
    }

    /// The prefix of all tags of this owner.
    fn tag_prefix(&self) -> String {
        let hash = Sha256::digest(self.owner());
        let hash: String = hash
            .iter()
            .take(OWNER_BYTES)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{TAG_PREFIX}{hash}-")
    }

    fn extra_cache_suffix(&self, job: &str) -> String {
        format!("-of-{}", self.secret_name(job))
    }

    /// The job with a part that only this process knows.
    fn secret_name(&self, job: &str) -> String {
        let hash = Sha256::new()
            .chain_update(self.name_secret().to_be_bytes())
            .chain_update(job)
            .finalize();
        let hash: String = hash
            .iter()
            .take(SECRET_BYTES)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{job}-{hash}")
    }
}

//! The spec of an image build.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::checks::{check_path, is_variable_name};
use crate::image::package::BuildPackage;
use crate::image::platform::Platform;
use crate::image::{Repository, is_reference, is_tag, is_tagged};
use crate::names::{Invalid, Name};
use crate::queue::features::FeatureSet;

/// How an image is built from a checkout and where it is pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageBuild {
    /// The build context, relative to the checkout's root.
    #[serde(default = "default_context")]
    pub context: String,
    /// The Dockerfile, relative to the checkout's root.
    #[serde(default = "default_dockerfile")]
    pub dockerfile: String,
    /// The stage to build; the last one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether all steps run without the cache.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_cache: bool,
    /// Whether base images are pulled even if the host already has them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pull: bool,
    /// The repository the image is pushed to; when absent the image is not pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// The tags to push.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The tag in `repository` of an earlier image to use as a cache. A missing image is no error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_tag: Option<String>,
    /// The package to build instead of a checkout. Its own location replaces `context` and
    /// `dockerfile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<BuildPackage>,
    /// Build arguments whose values are the images of other jobs of the build. At the claim they are
    /// resolved into [`ImageBuild::args`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub image_args: BTreeMap<String, Name>,
    /// The job whose image is used as a cache. At the claim it is resolved into `cache_image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_of: Option<Name>,
    /// An image to use as a cache, in addition to the one of `cache_tag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_image: Option<String>,
    /// The cache tag to use if the repository has no `cache_tag` yet, such as that of the default
    /// branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_cache_tag: Option<String>,
    /// Further images to use as caches, by their full references.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache_images: Vec<String>,
    /// The repository and tag to which the image is pushed as a cache for other builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_to: Option<String>,
    /// The platforms to build for; the runner's own when empty. A definition with several platforms
    /// expands into one job per platform, so a job that runs has at most one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<Platform>,
    /// The secrets for steps with `--mount=type=secret`: secret id to the project's variable with the
    /// value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// The project's variable with the private key for steps with `--mount=type=ssh`. The steps reach
    /// it through an SSH agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<String>,
    /// The creation time to record in the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_date: Option<SourceDate>,
    /// The names of the image in an archive for `docker load`, which becomes an artifact of the job.
    /// When empty, no archive is created.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archive: Vec<String>,
}

/// The creation time to record in an image, passed to build tools as `SOURCE_DATE_EPOCH` (see
/// <https://reproducible-builds.org/specs/source-date-epoch/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceDate {
    /// The time of the commit.
    Commit,
    /// Seconds since the Unix epoch.
    Seconds(u32),
}

fn default_context() -> String {
    ".".to_owned()
}

fn default_dockerfile() -> String {
    "Dockerfile".to_owned()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

impl Default for ImageBuild {
    fn default() -> Self {
        Self {
            context: default_context(),
            dockerfile: default_dockerfile(),
            target: None,
            args: BTreeMap::new(),
            labels: BTreeMap::new(),
            no_cache: false,
            pull: false,
            repository: None,
            tags: Vec::new(),
            cache_tag: None,
            package: None,
            image_args: BTreeMap::new(),
            cache_of: None,
            cache_image: None,
            fallback_cache_tag: None,
            cache_images: Vec::new(),
            cache_to: None,
            platforms: Vec::new(),
            secrets: BTreeMap::new(),
            ssh: None,
            source_date: None,
            archive: Vec::new(),
        }
    }
}

impl ImageBuild {
    /// The features a runner must have for this build.
    pub(super) fn features(&self) -> FeatureSet {
        let mut features = FeatureSet::default();
        if self.package.is_some() {
            features = features.with_packages();
        }
        if !self.archive.is_empty() {
            features = features.with_archives();
        }
        // A stock runner echoes its commands, so it must not be given an agent with a private key.
        if self.ssh.is_some() {
            features = features.with_specs();
        }
        self.platforms
            .iter()
            .fold(features, FeatureSet::with_platform)
    }

    /// Checks the values that the types do not guarantee to be valid.
    ///
    /// # Errors
    /// `Invalid` for a path that leaves the checkout, a malformed tag, build argument, secret id or
    /// cache image, and for an archive of several platforms.
    pub fn check(&self) -> Result<(), Invalid> {
        // A package belongs to one build, so a definition for many builds cannot contain one.
        if self.package.is_some() {
            return Err(Invalid::new(
                "package",
                "in a pipeline",
                "no package: only a single build can have one",
            ));
        }
        check_path("context", &self.context)?;
        check_path("dockerfile", &self.dockerfile)?;
        // A registry would refuse a malformed tag only after the image was built.
        let mut tags = self
            .tags
            .iter()
            .chain(&self.cache_tag)
            .chain(&self.fallback_cache_tag);
        if let Some(tag) = tags.find(|tag| !is_tag(tag)) {
            return Err(Invalid::new(
                "image tag",
                tag,
                "1 to 128 characters of A-Z a-z 0-9 _ . -, not starting with . or -",
            ));
        }
        if let Some(target) = &self.target
            && (target.is_empty()
// Otherwise a stock runner's command line would take it for an option.
                || target.starts_with('-')
                || target.contains(char::is_whitespace))
        {
            return Err(Invalid::new(
                "target",
                target,
                "the name of a stage in the Dockerfile",
            ));
        }
        if let Some(repository) = &self.repository {
            repository.check()?;
        }
        self.check_platforms()?;
        self.check_caches()?;
        self.check_secrets()?;
        self.check_archive()?;
        let is_invalid = |name: &&String| !is_variable_name(name);
        match self.args.keys().find(is_invalid) {
            Some(bad) => Err(Invalid::new(
                "build argument",
                bad,
                "a name of A-Z a-z 0-9 _ that does not start with a digit",
            )),
            None => Ok(()),
        }
    }

    fn check_platforms(&self) -> Result<(), Invalid> {
        // Each platform becomes a job, and two would push the same tags.
        let mut seen = BTreeSet::new();
        match self
            .platforms
            .iter()
            .find(|platform| !seen.insert(*platform))
        {
            Some(duplicate) => Err(Invalid::new(
                "platform list",
                &duplicate.to_string(),
                "each platform only once",
            )),
            None => Ok(()),
        }
    }

    fn check_caches(&self) -> Result<(), Invalid> {
        let references = self.cache_images.iter().chain(&self.cache_to);
        for image in references {
            if !is_reference(image) {
                return Err(Invalid::new(
                    "cache image",
                    image,
                    "a full image reference such as registry.example/acme/api:cache",
                ));
            }
        }
        // Without a tag `latest` would be meant, which the image itself may use.
        match &self.cache_to {
            Some(image) if Repository::split_tagged(image).is_none() => Err(Invalid::new(
                "cache destination",
                image,
                "REGISTRY/REPOSITORY:TAG such as registry.example/acme/api:cache",
            )),
            _ => Ok(()),
        }
    }

    fn check_archive(&self) -> Result<(), Invalid> {
        if let Some(name) = self.archive.iter().find(|name| !is_tagged(name)) {
            return Err(Invalid::new(
                "archive image name",
                name,
                "a lower-case name with a tag, such as acme/api:v1",
            ));
        }
        match (self.archive.is_empty(), self.platforms.as_slice()) {
            (false, [_, other, ..]) => Err(Invalid::new(
                "second platform",
                &other.to_string(),
                "at most one platform for an archive, which holds one image",
            )),
            _ => Ok(()),
        }
    }

    fn check_secrets(&self) -> Result<(), Invalid> {
        // The id is part of `--mount=type=secret,id=ID`, where a comma would end it.
        let is_id = |id: &str| {
            (1..=255).contains(&id.len())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if let Some(id) = self.secrets.keys().find(|id| !is_id(id)) {
            return Err(Invalid::new(
                "secret id",
                id,
                "1 to 255 characters of A-Z a-z 0-9 . _ -",
            ));
        }
        let mut variables = self.secrets.values().chain(&self.ssh);
        match variables.find(|name| !is_variable_name(name)) {
            Some(name) => Err(Invalid::new(
                "secret variable",
                name,
                "the name of a project variable: A-Z a-z 0-9 _, not starting with a digit",
            )),
            None => Ok(()),
        }
    }
}

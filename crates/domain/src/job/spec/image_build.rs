//! An image build: what is built, how, and where it goes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::checks::{check_path, is_variable_name};
use crate::image::package::BuildPackage;
use crate::image::platform::Platform;
use crate::image::{Repository, is_reference, is_tag, is_tagged};
use crate::names::{Invalid, Name};

/// How an image is built from a checkout, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageBuild {
    /// The directory that is the build context, relative to the checkout's root.
    #[serde(default = "here")]
    pub context: String,
    /// The Dockerfile, relative to the checkout's root.
    #[serde(default = "dockerfile")]
    pub dockerfile: String,
    /// The stage to stop at; the last one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Build arguments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// Labels put on the image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether every step is run anew.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_cache: bool,
    /// Whether base images are pulled even if the host has them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pull: bool,
    /// Where the image is pushed; it is built and thrown away when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// The tags that are pushed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The tag in `repository` of an earlier image whose layers may be taken instead of building
    /// them; nothing is amiss when there is no such image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_tag: Option<String>,
    /// The package that is built in the place of a checkout; it says itself where context and
    /// Dockerfile are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<BuildPackage>,
    /// Build arguments whose values are the images that other jobs of the build made. A claim turns
    /// them into [`ImageBuild::args`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub image_args: BTreeMap<String, Name>,
    /// The job whose image is a source of the cache. A claim turns it into a reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_of: Option<Name>,
    /// An image whose layers the build may use, besides the one of `cache_tag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_image: Option<String>,
    /// The tag that is looked for when there is no `cache_tag` in the repository yet, such as that
    /// of the default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_cache_tag: Option<String>,
    /// Further images whose layers may be taken, by their whole names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache_images: Vec<String>,
    /// Where the image is pushed besides its tags, for others to take layers from: a repository and
    /// a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_to: Option<String>,
    /// The platforms it is built for; that of the runner when there is none. A definition becomes one
    /// job for each of several, so a job that runs has one at the most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<Platform>,
    /// What steps with `--mount=type=secret` get: the id there, and the variable of the project that
    /// has the value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// The variable of the project with the private key that steps with `--mount=type=ssh` may use,
    /// through an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<String>,
    /// The time that the image says it was made at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_date: Option<SourceDate>,
    /// The names that the image has in an archive of it, as `docker save` makes one: a file of the
    /// job, for `docker load`. None is made when there is no name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archive: Vec<String>,
}

/// The time that an image says it was made at, as `SOURCE_DATE_EPOCH` tells build tools (see
/// <https://reproducible-builds.org/specs/source-date-epoch/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceDate {
    /// That of the commit.
    Commit,
    /// So many seconds after the beginning of 1970.
    Seconds(u32),
}

fn here() -> String {
    ".".to_owned()
}

fn dockerfile() -> String {
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
            context: here(),
            dockerfile: dockerfile(),
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
    /// Checks what the types alone do not say.
    ///
    /// # Errors
    /// A path that leaves the checkout, a tag no registry takes, an argument without a name, a
    /// secret that could not be named in a Dockerfile, an archive for several platforms.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.package.is_some() {
            return Err(Invalid::new(
                "package",
                "one",
                "none: a package comes with a build, and not with a pipeline",
            ));
        }
        check_path("context", &self.context)?;
        check_path("dockerfile", &self.dockerfile)?;
        let mut tags = self
            .tags
            .iter()
            .chain(&self.cache_tag)
            .chain(&self.fallback_cache_tag);
        if let Some(tag) = tags.find(|tag| !is_tag(tag)) {
            return Err(Invalid::new(
                "image tag",
                tag,
                "1 to 128 of A-Z a-z 0-9 _ . - that do not begin with . or -",
            ));
        }
        if let Some(target) = &self.target
            && (target.is_empty()
                || target.starts_with('-')
                || target.contains(char::is_whitespace))
        {
            return Err(Invalid::new(
                "target",
                target,
                "the name of a stage of the Dockerfile",
            ));
        }
        self.check_platforms()?;
        self.check_caches()?;
        self.check_secrets()?;
        self.check_archive()?;
        let name = |name: &&String| !is_variable_name(name);
        match self.args.keys().find(name) {
            Some(bad) => Err(Invalid::new(
                "build argument",
                bad,
                "a name of A-Z a-z 0-9 _ that does not begin with a digit",
            )),
            None => Ok(()),
        }
    }

    fn check_platforms(&self) -> Result<(), Invalid> {
        let mut seen = BTreeSet::new();
        match self
            .platforms
            .iter()
            .find(|platform| !seen.insert(*platform))
        {
            Some(twice) => Err(Invalid::new(
                "platforms",
                &twice.to_string(),
                "each platform once",
            )),
            None => Ok(()),
        }
    }

    fn check_caches(&self) -> Result<(), Invalid> {
        let whole = self.cache_images.iter().chain(&self.cache_to);
        for image in whole {
            if !is_reference(image) {
                return Err(Invalid::new(
                    "cache image",
                    image,
                    "the whole name of an image, such as registry.example/acme/api:cache",
                ));
            }
        }
        match &self.cache_to {
            Some(image) if Repository::of_tagged(image).is_none() => Err(Invalid::new(
                "place for the cache",
                image,
                "a repository with its registry, and a tag",
            )),
            _ => Ok(()),
        }
    }

    fn check_archive(&self) -> Result<(), Invalid> {
        if let Some(name) = self.archive.iter().find(|name| !is_tagged(name)) {
            return Err(Invalid::new(
                "name of an image",
                name,
                "a name in lower case with a tag, such as acme/api:v1",
            ));
        }
        match (self.archive.is_empty(), self.platforms.as_slice()) {
            (false, [_, other, ..]) => Err(Invalid::new(
                "platform of an archive",
                &other.to_string(),
                "one platform at the most: an archive has one image",
            )),
            _ => Ok(()),
        }
    }

    fn check_secrets(&self) -> Result<(), Invalid> {
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
                "1 to 255 of A-Z a-z 0-9 . _ -",
            ));
        }
        let mut variables = self.secrets.values().chain(&self.ssh);
        match variables.find(|name| !is_variable_name(name)) {
            Some(name) => Err(Invalid::new(
                "variable of a secret",
                name,
                "the name of a variable of the project",
            )),
            None => Ok(()),
        }
    }
}

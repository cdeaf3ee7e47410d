//! What a job is to do. The serde shape here is the one that is stored, and that travels to our
//! own runner; it only ever grows, and new members are optional.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::image::{Repository, is_tag};
use crate::names::{Invalid, Name};
use crate::package::BuildPackage;

mod script;

pub use script::{ArtifactRules, ArtifactsWhen, Script};

/// What a job is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobSpec {
    /// Build an image from the commit, and push it.
    ImageBuild(ImageBuild),
    /// Run commands in a checkout of the commit.
    Script(Script),
}

impl JobSpec {
    /// The package that the job builds, if it does not build a commit.
    pub fn package(&self) -> Option<&BuildPackage> {
        match self {
            Self::ImageBuild(image) => image.package.as_ref(),
            Self::Script(_) => None,
        }
    }

    /// The jobs whose images it uses.
    pub fn images_of(&self) -> Vec<&Name> {
        match self {
            Self::ImageBuild(image) => image.image_args.values().chain(&image.cache_of).collect(),
            Self::Script(script) => script.image_of.iter().collect(),
        }
    }

    /// Whether an image comes of it.
    pub fn makes_an_image(&self) -> bool {
        match self {
            Self::ImageBuild(_) => true,
            Self::Script(script) => script.keep.is_some(),
        }
    }

    /// Checks what the types alone do not say.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::ImageBuild(image) => image.check(),
            Self::Script(script) => script.check(),
        }
    }
}

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
        }
    }
}

impl ImageBuild {
    /// Checks what the types alone do not say.
    ///
    /// # Errors
    /// A path that leaves the checkout, a tag no registry takes, an argument without a name.
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
        let mut tags = self.tags.iter().chain(&self.cache_tag);
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
}

/// Whether `name` can be an environment variable or a build argument.
pub fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn check_path(what: &'static str, path: &str) -> Result<(), Invalid> {
    let inside = !path.is_empty()
        && path.len() <= 1024
        && !path.starts_with(['/', '-'])
        && !path.contains(['\\', '\0', '\n', '\r'])
        && path.split('/').all(|part| part != "..");
    if inside {
        Ok(())
    } else {
        Err(Invalid::new(
            what,
            path,
            "a path inside the repository, relative to its root",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_reads_back_and_an_empty_one_has_the_usual_names() {
        let spec: JobSpec = serde_json::from_str(r#"{"kind":"image_build"}"#).unwrap();
        assert_eq!(spec, JobSpec::ImageBuild(ImageBuild::default()));
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(
            text,
            r#"{"kind":"image_build","context":".","dockerfile":"Dockerfile"}"#
        );
    }

    #[test]
    fn paths_stay_inside_the_checkout() {
        for bad in ["", "/etc", "..", "a/../b", "-f", "a\\b", "a\nb"] {
            let spec = ImageBuild {
                dockerfile: bad.to_owned(),
                ..ImageBuild::default()
            };
            assert!(spec.check().is_err(), "{bad:?}");
        }
        let spec = ImageBuild {
            context: "docker/app".to_owned(),
            ..ImageBuild::default()
        };
        assert_eq!(spec.check(), Ok(()));
    }

    #[test]
    fn arguments_and_tags_have_names_that_tools_take() {
        let args = BTreeMap::from([("1X".to_owned(), String::new())]);
        assert!(
            ImageBuild {
                args,
                ..ImageBuild::default()
            }
            .check()
            .is_err()
        );
        let tags = vec!["a/b".to_owned()];
        assert!(
            ImageBuild {
                tags,
                ..ImageBuild::default()
            }
            .check()
            .is_err()
        );
    }
}

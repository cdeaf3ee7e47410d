//! What a job is to do. The serde shape here is the one that is stored, and that travels to our
//! own runner; it only ever grows, and new members are optional.

use serde::{Deserialize, Serialize};

use crate::image::package::BuildPackage;
use crate::names::{Invalid, Name};
use crate::queue::features::FeatureSet;

mod checks;
mod image_build;
mod image_index;
mod script;

pub use checks::is_variable_name;
pub use image_build::{ImageBuild, SourceDate};
pub use image_index::{ImageIndex, PlatformImage};
pub use script::{ArtifactRules, ArtifactsWhen, Script};

/// What a job is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobSpec {
    /// Build an image from the commit, and push it.
    ImageBuild(Box<ImageBuild>),
    /// Run commands in a checkout of the commit.
    Script(Script),
    /// Push one name for the images that other jobs built for several platforms.
    ImageIndex(ImageIndex),
}

impl JobSpec {
    /// The package that the job builds, if it does not build a commit.
    pub fn package(&self) -> Option<&BuildPackage> {
        match self {
            Self::ImageBuild(image) => image.package.as_ref(),
            Self::Script(_) | Self::ImageIndex(_) => None,
        }
    }

    /// The image build, if it is for more than one platform.
    pub(crate) fn multi_platform_build(&self) -> Option<&ImageBuild> {
        match self {
            Self::ImageBuild(image) if image.platforms.len() > 1 => Some(image),
            _ => None,
        }
    }

    /// What it asks of a runner besides tags.
    pub fn features(&self) -> FeatureSet {
        let none = FeatureSet::default();
        match self {
            Self::ImageBuild(image) => {
                let asked = match image.package {
                    Some(_) => none.with_packages(),
                    None => none,
                };
                let asked = match image.archive.is_empty() {
                    false => asked.with_archives(),
                    true => asked,
                };
                // An agent with the key is not for a shell that shows what it does.
                let asked = match image.ssh {
                    Some(_) => asked.with_specs(),
                    None => asked,
                };
                let platforms = image.platforms.iter();
                platforms.fold(asked, FeatureSet::with_platform)
            }
            // What another job left in a container is of use only to those that know of it.
            Self::Script(script) if script.goes_on || script.keep.is_some() => none.with_specs(),
            Self::Script(_) => none,
            Self::ImageIndex(_) => none.with_specs(),
        }
    }

    /// The jobs whose images it uses.
    pub fn images_of(&self) -> Vec<&Name> {
        match self {
            Self::ImageBuild(image) => image.image_args.values().chain(&image.cache_of).collect(),
            Self::Script(script) => script.image_of.iter().collect(),
            Self::ImageIndex(index) => index.images_of.iter().collect(),
        }
    }

    /// The jobs whose images are only a part of the one that it makes.
    pub fn parts(&self) -> &[Name] {
        match self {
            Self::ImageIndex(index) => &index.images_of,
            Self::ImageBuild(_) | Self::Script(_) => &[],
        }
    }

    /// Whether an image comes of it.
    pub fn makes_an_image(&self) -> bool {
        match self {
            Self::ImageBuild(_) | Self::ImageIndex(_) => true,
            Self::Script(script) => script.keep.is_some(),
        }
    }

    /// Checks what the types alone do not say, of a spec that somebody gave.
    ///
    /// # Errors
    /// The first thing that is wrong; what only the farm makes.
    pub fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::ImageBuild(image) => image.check(),
            Self::Script(script) => script.check(),
            Self::ImageIndex(_) => Err(Invalid::new(
                "kind of job",
                "image_index",
                "an image_build with several platforms, which becomes one",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_reads_back_and_an_empty_one_has_the_usual_names() {
        let spec: JobSpec = serde_json::from_str(r#"{"kind":"image_build"}"#).unwrap();
        assert_eq!(spec, JobSpec::ImageBuild(Box::default()));
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
    fn an_archive_has_named_images_of_one_platform_and_a_runner_that_makes_it() {
        let spec = |names: &[&str], platforms: &[&str]| ImageBuild {
            archive: names.iter().map(|&name| name.to_owned()).collect(),
            platforms: platforms.iter().map(|text| text.parse().unwrap()).collect(),
            ..ImageBuild::default()
        };
        let (amd, arm) = ("linux/amd64", "linux/arm64");
        for good in [
            spec(&["api:v1", "r.example/acme/api:v1"], &[]),
            spec(&["api:v1"], &[arm]),
            spec(&[], &[amd, arm]),
        ] {
            assert_eq!(good.check(), Ok(()));
        }
        for bad in [
            spec(&["api"], &[]),
            spec(&["API:v1"], &[]),
            spec(&["api:v1"], &[amd, arm]),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        let asks = JobSpec::ImageBuild(Box::new(spec(&["api:v1"], &[]))).features();
        let older = FeatureSet::default().with_packages().with_specs();
        assert!(!asks.is_subset(&older));
        assert!(asks.is_subset(&older.with_archives()));
    }

    #[test]
    fn arguments_and_tags_have_names_that_tools_take() {
        let args = std::collections::BTreeMap::from([("1X".to_owned(), String::new())]);
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

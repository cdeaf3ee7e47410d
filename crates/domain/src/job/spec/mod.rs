//! Job specs: what a job does.
//!
//! The serde form here is stored in the database and sent to our own runner. Stored specs and older
//! runners must stay readable, so it only grows and new members are optional.

use serde::{Deserialize, Serialize};

use crate::image::package::BuildPackage;
use crate::names::{Invalid, Name};
use crate::queue::features::FeatureSet;

mod checks;
mod image_build;
mod image_index;
mod script;

pub use checks::{VARIABLE_NAME_PATTERN, is_variable_name};
pub use image_build::{ImageBuild, SourceDate};
pub use image_index::{ImageIndex, PlatformImage};
pub use script::{ArtifactRules, ArtifactsWhen, Script, has_wildcard};

/// What a job does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobSpec {
    /// Builds an image from the commit and pushes it.
    ImageBuild(Box<ImageBuild>),
    /// Runs commands in a checkout of the commit.
    Script(Script),
    /// Pushes an index of the images that other jobs built for several platforms.
    ImageIndex(ImageIndex),
}

impl JobSpec {
    /// The package that the job builds, if it builds a package rather than a commit.
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

    /// The features a runner must have to run this job.
    pub fn features(&self) -> FeatureSet {
        let none = FeatureSet::default();
        match self {
            Self::ImageBuild(image) => image.features(),
            // Only our runner can continue in the container of another job, or keep one for later.
            Self::Script(script) if script.skip_checkout || script.keep.is_some() => {
                none.with_specs()
            }
            Self::Script(_) => none,
            Self::ImageIndex(_) => none.with_specs(),
        }
    }

    /// Whether the job may leave files for the jobs that need it.
    pub fn leaves_files(&self) -> bool {
        match self {
            Self::Script(script) => script.artifacts.is_some(),
            Self::ImageBuild(_) | Self::ImageIndex(_) => false,
        }
    }

    /// Whether the job works on files, those of the jobs that it needs included.
    pub fn uses_files(&self) -> bool {
        match self {
            Self::Script(_) | Self::ImageBuild(_) => true,
            Self::ImageIndex(_) => false,
        }
    }

    /// The jobs whose images this job uses.
    pub fn images_of(&self) -> Vec<&Name> {
        match self {
            Self::ImageBuild(image) => image.image_args.values().chain(&image.cache_of).collect(),
            Self::Script(script) => script.image_of.iter().collect(),
            Self::ImageIndex(index) => index.images_of.iter().collect(),
        }
    }

    /// The jobs without whose images this job cannot run.
    pub fn required_images(&self) -> Vec<&Name> {
        match self {
            Self::ImageBuild(image) => image.image_args.values().collect(),
            Self::Script(_) | Self::ImageIndex(_) => self.images_of(),
        }
    }

    /// The jobs whose images are parts of the index that this job pushes.
    pub fn parts(&self) -> &[Name] {
        match self {
            Self::ImageIndex(index) => &index.images_of,
            Self::ImageBuild(_) | Self::Script(_) => &[],
        }
    }

    /// Returns true if the job creates an image that other jobs can use.
    pub fn creates_image(&self) -> bool {
        match self {
            Self::ImageBuild(_) | Self::ImageIndex(_) => true,
            Self::Script(script) => script.keep.is_some(),
        }
    }

    /// Checks a spec from a pipeline definition.
    ///
    /// # Errors
    /// `Invalid` for the first invalid value, and for an image index, which only the farm creates.
    pub fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::ImageBuild(image) => image.check(),
            Self::Script(script) => script.check(),
            Self::ImageIndex(_) => Err(Invalid::new(
                "kind of job",
                "image_index",
                "an image_build with several platforms, from which the farm creates the index",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_image_build_has_defaults_and_round_trips() {
        let spec: JobSpec = serde_json::from_str(r#"{"kind":"image_build"}"#).unwrap();
        assert_eq!(spec, JobSpec::ImageBuild(Box::default()));
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(
            text,
            r#"{"kind":"image_build","context":".","dockerfile":"Dockerfile"}"#
        );
    }

    #[test]
    fn a_path_that_leaves_the_checkout_is_refused() {
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
    fn an_archive_requires_tagged_names_one_platform_and_a_runner_feature() {
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
        let required = JobSpec::ImageBuild(Box::new(spec(&["api:v1"], &[]))).features();
        let older = FeatureSet::default().with_packages().with_specs();
        assert!(!required.is_subset(&older));
        assert!(required.is_subset(&older.with_archives()));
    }

    #[test]
    fn invalid_names_of_arguments_and_tags_are_refused() {
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

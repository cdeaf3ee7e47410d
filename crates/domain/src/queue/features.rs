//! Features: what a job can require of a runner besides tags.
//!
//! Nobody assigns features to a runner: they follow from its software and its host. In the database
//! features are stored in one list with the tags, each with a prefix that no tag may have.

use std::collections::BTreeSet;

use crate::build::trust::TrustLevel;
use crate::image::platform::Platform;
use crate::names::{FEATURE_PREFIX, Invalid};

const PACKAGES: &str = "packages";
const SPECS: &str = "specs";
const ARCHIVES: &str = "archives";
const NEEDED_FILES: &str = "needed_files";
const PLATFORM: &str = "platform/";
const TRUST: &str = "trust/";

/// A set of runner features.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeatureSet(BTreeSet<String>);

impl FeatureSet {
    /// Adds the feature of building packages.
    #[must_use]
    pub fn with_packages(self) -> Self {
        self.with(PACKAGES.to_owned())
    }

    /// Adds the feature of running job specs that cannot be expressed as shell commands.
    #[must_use]
    pub fn with_specs(self) -> Self {
        self.with(SPECS.to_owned())
    }

    /// Adds the feature of exporting images as archives.
    #[must_use]
    pub fn with_archives(self) -> Self {
        self.with(ARCHIVES.to_owned())
    }

    /// Adds the feature of downloading the files of needed jobs.
    #[must_use]
    pub fn with_needed_files(self) -> Self {
        self.with(NEEDED_FILES.to_owned())
    }

    /// Adds the feature of building images for `platform`.
    #[must_use]
    pub fn with_platform(self, platform: &Platform) -> Self {
        self.with(format!("{PLATFORM}{platform}"))
    }

    /// Adds the feature of running jobs of builds of this trust level. A runner without any such
    /// feature is not dedicated to levels, and runs jobs of all of them.
    #[must_use]
    pub fn with_trust(self, level: TrustLevel) -> Self {
        self.with(format!("{TRUST}{level}"))
    }

    fn with(mut self, feature: String) -> Self {
        self.0.insert(feature);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if `other` has every feature of this set.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.lacking(other).next().is_none()
    }

    /// The features of this set that `other` lacks, described for people.
    pub fn missing_from(&self, other: &Self) -> Vec<String> {
        let describe = |feature: &String| match feature.strip_prefix(PLATFORM) {
            Some(platform) => format!("images for {platform}"),
            None if let Some(level) = feature.strip_prefix(TRUST) => {
                format!("builds of the trust level {level}")
            }
            None if feature == PACKAGES => "packages".to_owned(),
            None if feature == ARCHIVES => "image archives".to_owned(),
            None if feature == NEEDED_FILES => "files of needed jobs".to_owned(),
            None => "job specs".to_owned(),
        };
        self.lacking(other).map(describe).collect()
    }

    /// The features of this set that `other` lacks.
    fn lacking<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a String> {
        let is_trust = |feature: &&String| feature.starts_with(TRUST);
        let is_dedicated = other.0.iter().any(|feature| is_trust(&feature));
        let lacking = self.0.difference(&other.0);
        lacking.filter(move |feature| is_dedicated || !is_trust(feature))
    }

    /// Each feature in its stored form, with the prefix that keeps it apart from tags.
    pub(crate) fn stored(&self) -> impl Iterator<Item = String> {
        self.0
            .iter()
            .map(|feature| format!("{FEATURE_PREFIX}{feature}"))
    }

    /// Reads the features of a stored list and skips its tags.
    ///
    /// # Errors
    /// `Invalid` if a feature is unknown.
    pub(crate) fn from_stored<'a>(list: impl Iterator<Item = &'a str>) -> Result<Self, Invalid> {
        let mut set = BTreeSet::new();
        for feature in list.filter_map(|item| item.strip_prefix(FEATURE_PREFIX)) {
            if let Some(platform) = feature.strip_prefix(PLATFORM) {
                platform.parse::<Platform>()?;
            } else if let Some(level) = feature.strip_prefix(TRUST) {
                level.parse::<TrustLevel>()?;
            } else if ![PACKAGES, SPECS, ARCHIVES, NEEDED_FILES].contains(&feature) {
                return Err(Invalid::new(
                    "feature",
                    feature,
                    "packages, specs, archives, needed_files, a platform or a trust level",
                ));
            }
            set.insert(feature.to_owned());
        }
        Ok(Self(set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dedicated_runner_lacks_a_trust_level() {
        let job = FeatureSet::default().with_trust(TrustLevel::Ref);
        let any = FeatureSet::default().with_specs();
        let dedicated = FeatureSet::default().with_trust(TrustLevel::DefaultBranch);
        let both = dedicated.clone().with_trust(TrustLevel::Ref);
        assert!(job.is_subset(&any));
        assert!(job.is_subset(&both));
        assert!(!job.is_subset(&dedicated));
        assert!(job.missing_from(&any).is_empty());
        let missing = job.missing_from(&dedicated);
        assert_eq!(missing, ["builds of the trust level ref"]);
        let stored: Vec<String> = job.stored().collect();
        let read = FeatureSet::from_stored(stored.iter().map(String::as_str));
        assert_eq!(read.unwrap(), job);
    }
}

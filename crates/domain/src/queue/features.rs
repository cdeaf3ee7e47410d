//! What some jobs ask of a runner besides its tags, and what runners offer.
//!
//! Nobody gives a runner an ability: it has it by what it is. In storage abilities stand in one list
//! with tags, and begin with a word of their own, which no tag may.

use std::collections::BTreeSet;

use crate::image::platform::Platform;
use crate::names::{ABILITY_PREFIX, Invalid};

const PACKAGES: &str = "packages";
const SPECS: &str = "specs";
const ARCHIVES: &str = "archives";
const PLATFORM: &str = "platform/";

/// A set of abilities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeatureSet(BTreeSet<String>);

impl FeatureSet {
    /// The same with that of building packages.
    #[must_use]
    pub fn with_packages(self) -> Self {
        self.with(PACKAGES.to_owned())
    }

    /// The same with that of doing what specs say for which there are no shell commands.
    #[must_use]
    pub fn with_specs(self) -> Self {
        self.with(SPECS.to_owned())
    }

    /// The same with that of leaving images as archives.
    #[must_use]
    pub fn with_archives(self) -> Self {
        self.with(ARCHIVES.to_owned())
    }

    /// The same with that of building images for `platform`.
    #[must_use]
    pub fn with_platform(self, platform: &Platform) -> Self {
        self.with(format!("{PLATFORM}{platform}"))
    }

    fn with(mut self, ability: String) -> Self {
        self.0.insert(ability);
        self
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `others` has all of these.
    pub fn is_subset(&self, others: &Self) -> bool {
        self.0.is_subset(&others.0)
    }

    /// What of these `others` lacks, in words for people.
    pub fn missing_from(&self, others: &Self) -> Vec<String> {
        let missing = self.0.difference(&others.0);
        let told = missing.map(|ability| match ability.strip_prefix(PLATFORM) {
            Some(platform) => format!("images for {platform}"),
            None if ability == PACKAGES => "packages".to_owned(),
            None if ability == ARCHIVES => "archives of images".to_owned(),
            None => "what only a runner of Slipway can do".to_owned(),
        });
        told.collect()
    }

    /// Each as it is stored.
    pub(crate) fn stored(&self) -> impl Iterator<Item = String> {
        self.0
            .iter()
            .map(|ability| format!("{ABILITY_PREFIX}{ability}"))
    }

    /// Reads those of a stored list; whatever is a tag is passed over.
    ///
    /// # Errors
    /// An ability that there is not.
    pub(crate) fn of_stored<'a>(list: impl Iterator<Item = &'a str>) -> Result<Self, Invalid> {
        let mut set = BTreeSet::new();
        for ability in list.filter_map(|item| item.strip_prefix(ABILITY_PREFIX)) {
            if let Some(platform) = ability.strip_prefix(PLATFORM) {
                platform.parse::<Platform>()?;
            } else if ![PACKAGES, SPECS, ARCHIVES].contains(&ability) {
                return Err(Invalid::new(
                    "ability",
                    ability,
                    "packages, specs, archives or a platform",
                ));
            }
            set.insert(ability.to_owned());
        }
        Ok(Self(set))
    }
}

//! An image index: one name for the same image on several platforms.

use serde::{Deserialize, Serialize};

use crate::image::Repository;
use crate::image::platform::Platform;
use crate::names::Name;

/// Pushes one name for images that other jobs of the build made, each for its platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageIndex {
    /// The jobs that build the images.
    pub images_of: Vec<Name>,
    /// Where the images are, and the index goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// The tags that are pushed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The images themselves. A claim adds them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<PlatformImage>,
}

/// An image for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformImage {
    /// What it runs on.
    pub platform: Platform,
    /// The digest of its manifest.
    pub digest: String,
    /// The unpacked size of its layers, in bytes.
    #[serde(default)]
    pub size_bytes: u64,
}

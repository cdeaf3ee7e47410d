//! The spec of an image index: one reference for the same image on several platforms.

use serde::{Deserialize, Serialize};

use crate::image::Repository;
use crate::image::platform::Platform;
use crate::names::Name;

/// Pushes an index of images that other jobs of the build created, one per platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageIndex {
    /// The jobs that build the images.
    pub images_of: Vec<Name>,
    /// The repository of the images and of the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// The tags to push.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The images, which are filled in at the claim.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<PlatformImage>,
}

/// An image for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformImage {
    pub platform: Platform,
    /// The digest of the manifest.
    pub digest: String,
    /// The unpacked size of the layers, in bytes.
    #[serde(default)]
    pub size_bytes: u64,
}

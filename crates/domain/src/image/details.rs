//! What is known of an image build besides its image: layers, platform, and the time of each step.

use serde::{Deserialize, Serialize};

use crate::image::platform::Platform;

/// The most steps or layers that are kept of one image.
pub const MAX_ITEMS: usize = 1000;

/// What is known of an image besides its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageDetails {
    /// What it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Its layers, the lowest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The digest of what is in it, as the image's configuration lists it.
    pub diff_id: String,
    /// Its unpacked size in bytes, where the engine tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

/// One step of an image build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildStep {
    /// What the builder calls it, such as `[2/3] RUN make`.
    pub name: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Whether its result was there already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// Whether it failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}

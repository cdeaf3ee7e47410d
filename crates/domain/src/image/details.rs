//! Details of a built image: its platform, its layers and the duration of each build step.

use serde::{Deserialize, Serialize};

use crate::image::platform::Platform;

/// The maximum number of steps, and of layers, that are stored for one image.
pub const MAX_ITEMS: usize = 1000;

/// The platform and layers of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The lowest layer first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The digest of the uncompressed layer, as listed in the image's configuration.
    pub diff_id: String,
    /// The unpacked size in bytes, if the engine reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

/// One step of an image build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildStep {
    /// The builder's name for the step, such as `[2/3] RUN make`.
    pub name: String,
    pub duration_ms: u64,
    /// Whether the result came from the cache.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}

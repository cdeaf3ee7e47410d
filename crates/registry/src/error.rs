//! Why a registry did not carry out a request.

use slipway_domain::Platform;

/// Why a registry did not carry out a request. `detail` is mostly in the registry's own words.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry refused the push, or could not be reached.
    #[error("the registry {registry} refused the push: {detail}")]
    Refused {
        /// The host, with its port if it has one.
        registry: String,
        detail: String,
    },
    /// An image that was pushed to the registry could not be read back.
    #[error("could not read the image {digest} from the registry {registry}: {detail}")]
    Unreadable {
        /// The host, with its port if it has one.
        registry: String,
        digest: String,
        detail: String,
    },
    /// Two images are for the same platform, and an index can list only one.
    #[error("two images are for {0}; each image must be for a different platform")]
    SamePlatform(Platform),
}

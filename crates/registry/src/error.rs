//! Why a registry did not do what it was asked.

use slipway_domain::Platform;

/// Why a registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It refused, or could not be reached. The text is its own.
    #[error("the registry {registry} did not take it: {detail}")]
    Refused {
        /// Its host.
        registry: String,
        /// What it said.
        detail: String,
    },
    /// It does not give an image that was pushed to it.
    #[error("the registry {registry} does not give the image {digest}: {detail}")]
    Unreadable {
        /// Its host.
        registry: String,
        /// The image's digest.
        digest: String,
        /// What it said.
        detail: String,
    },
    /// Two images for one platform, of which an index could offer only one.
    #[error("two of the images are for {0}; each must be for a platform of its own")]
    SamePlatform(Platform),
}

//! Which builds share the engine's cache.

use sha2::{Digest as _, Sha256};

/// How many bytes of a hash are in a name.
const NAME_BYTES: usize = 16;

/// Builds with the same scope share the layer cache and the cache mounts of an engine.
///
/// It is made from a value that other projects cannot guess: an id of a cache mount may lead out of
/// its namespace, into one whose name is known. `Debug` does not print the value.
#[derive(Clone, PartialEq, Eq)]
pub struct CacheScope(String);

impl CacheScope {
    /// The scope of this secret value.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The namespace of the cache mounts.
    pub(crate) fn mounts(&self) -> String {
        self.name("mounts")
    }

    /// The host name in the key of each cached step. Commands see it in `/etc/hosts`, so it must not
    /// tell the other names.
    pub(crate) fn host(&self) -> String {
        format!("{}.cache.slipway.invalid", self.name("layers"))
    }

    /// The part of the names of images that are kept for their layers.
    pub(crate) fn kept(&self) -> String {
        self.name("kept")
    }

    fn name(&self, purpose: &str) -> String {
        let hash = Sha256::new()
            .chain_update(purpose)
            .chain_update([0])
            .chain_update(&self.0)
            .finalize();
        let bytes = hash.iter().take(NAME_BYTES);
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

impl std::fmt::Debug for CacheScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CacheScope(..)")
    }
}

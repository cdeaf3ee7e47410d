//! Why a registry did not do what it was asked.

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
}

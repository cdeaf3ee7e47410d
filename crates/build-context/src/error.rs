//! Why a directory cannot be used as a build context.

use std::io;

/// Why a directory cannot be used as a build context, or cannot be packed. Paths are as the caller
/// gave them.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    #[error("no Dockerfile found at {path}")]
    DockerfileMissing { path: String },
    /// The context does not exist, or is not a directory.
    #[error("the build context {path} is not a directory")]
    Missing { path: String },
    /// A path leads out of the checkout.
    #[error("{path} is outside of the checkout")]
    Outside { path: String },
    /// The patterns of ignored files are invalid.
    #[error("the patterns in {file} are invalid: {detail}")]
    PatternsInvalid {
        /// The name of the file, without its directory.
        file: String,
        detail: String,
    },
    /// A file or directory could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

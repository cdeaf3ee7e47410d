//! Why a directory is no build context.

use std::io;

/// Why a directory is no build context, or cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// There is no Dockerfile at the path.
    #[error("there is no Dockerfile at {path}")]
    DockerfileMissing {
        /// The path, as it was given.
        path: String,
    },
    /// The context is not there, or is no directory.
    #[error("the build context {path} is not a directory")]
    Missing {
        /// The path, as it was given.
        path: String,
    },
    /// A path leads out of the directory that bounds it.
    #[error("{path} leads out of the directory that is built")]
    Outside {
        /// The path, as it was given.
        path: String,
    },
    /// Something could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

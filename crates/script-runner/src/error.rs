//! Why a script did not do what it should, in sentences that somebody can act on.

use bollard::errors::Error;
use slipway_domain::FailureReason;
use slipway_image_builder::{BuildError, engine_error};

/// Why a script failed, or its files could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The image is neither on the build host nor to be pulled.
    #[error("the image {image} could not be had: {detail}")]
    ImageUnavailable {
        /// Its name.
        image: String,
        /// What the engine said.
        detail: String,
    },
    /// The image has no shell to run commands with.
    #[error("the image {image} has no sh, which runs the commands; name an image with a shell")]
    NoShell {
        /// Its name.
        image: String,
    },
    /// A command failed.
    #[error("the command `{command}` exited with {code}{}", hint(*.code))]
    CommandFailed {
        /// Its first line.
        command: String,
        /// Its exit code.
        code: i64,
    },
    /// The kernel ended the command, since memory ran out.
    #[error("the command `{command}` was killed because {}", memory(*.limit_mb))]
    OutOfMemory {
        /// Its first line.
        command: String,
        /// Its exit code.
        code: i64,
        /// What a job may use here, in MiB.
        limit_mb: Option<u64>,
    },
    /// The script wrote more than a job may.
    #[error(
        "the script has written more than the {limit_mb} MiB of disk that a job may use on this \
         runner; leave less behind, or ask the runner's operator to raise --job-disk-mb"
    )]
    OverDisk {
        /// What a job may write here, in MiB.
        limit_mb: u64,
    },
    /// The shell ended before the first command.
    #[error("the shell of the image {image} exited with {code} before the first command")]
    NotBegun {
        /// The image's name.
        image: String,
        /// The shell's exit code.
        code: i64,
    },
    /// The engine did not do its part.
    #[error(transparent)]
    Engine(#[from] BuildError),
}

fn memory(limit_mb: Option<u64>) -> String {
    match limit_mb {
        Some(limit) => format!(
            "it used more than the {limit} MiB of memory that a job may use on this runner; use \
             less, or ask the runner's operator to raise --job-memory-mb"
        ),
        None => "memory ran out".to_owned(),
    }
}

/// What the exit codes of a shell mean that are not the command's own.
fn hint(code: i64) -> &'static str {
    match code {
        126 => " (it is there, and cannot be run)",
        127 => " (the image has no such command)",
        137 => " (it was killed)",
        _ => "",
    }
}

impl ScriptError {
    /// The farm's word for this failure.
    pub fn reason(&self) -> FailureReason {
        match self {
            Self::ImageUnavailable { .. } => FailureReason::BaseImageUnavailable,
            Self::NoShell { .. }
            | Self::CommandFailed { .. }
            | Self::OutOfMemory { .. }
            | Self::NotBegun { .. } => FailureReason::JobFailed,
            Self::OverDisk { .. } => FailureReason::DiskFull,
            Self::Engine(error) => error.reason(),
        }
    }

    /// What the script ended with, if it came to an end of its own.
    pub fn exit_code(&self) -> Option<i64> {
        match self {
            Self::CommandFailed { code, .. }
            | Self::OutOfMemory { code, .. }
            | Self::NotBegun { code, .. } => Some(*code),
            Self::ImageUnavailable { .. }
            | Self::NoShell { .. }
            | Self::OverDisk { .. }
            | Self::Engine(_) => None,
        }
    }
}

impl From<std::io::Error> for ScriptError {
    fn from(error: std::io::Error) -> Self {
        Self::Engine(error.into())
    }
}

impl From<Error> for ScriptError {
    fn from(error: Error) -> Self {
        Self::Engine(engine_error(error))
    }
}

//! Errors of scripts, with messages that a person can act on.

use bollard::errors::Error;
use slipway_domain::FailureReason;
use slipway_image_builder::{BuildError, engine_error};

/// Why a script failed, or its artifacts could not be collected.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The image is not on the build host and could not be pulled.
    #[error("could not pull the image {image}: {detail}")]
    ImageUnavailable {
        image: String,
        /// The engine's message.
        detail: String,
    },
    /// The image has no shell.
    #[error("the image {image} has no sh, which runs the commands; use an image with a shell")]
    NoShell { image: String },
    /// A command failed.
    #[error("the command `{command}` exited with {code}{}", hint(*.code))]
    CommandFailed {
        /// The command's first line.
        command: String,
        code: i64,
    },
    /// A command failed after the record of the running command was deleted.
    #[error("a command of the script exited with {code}{}", hint(*.code))]
    UnknownCommandFailed { code: i64 },
    /// The kernel killed the command because memory ran out.
    #[error("the command `{command}` was killed because {}", memory(*.limit_mb))]
    OutOfMemory {
        /// The command's first line.
        command: String,
        code: i64,
        /// The memory limit of a job, in MiB.
        limit_mb: Option<u64>,
    },
    /// The script exceeded the disk limit of a job.
    #[error(
        "the script wrote more than the {limit_mb} MiB of disk that a job may use on this runner; \
         write less, or ask the runner's operator to raise --job-disk-mb"
    )]
    DiskLimitExceeded { limit_mb: u64 },
    /// The artifacts have more entries than other jobs would unpack.
    #[error("the artifacts have more than {limit} files and directories; keep fewer files")]
    TooManyArtifacts { limit: u64 },
    /// The artifacts are larger than other jobs would unpack.
    #[error("the artifacts are larger than {limit_gb} GiB; keep fewer files")]
    ArtifactsTooLarge { limit_gb: u64 },
    /// The artifact paths go below too many links.
    #[error("the artifact paths lead through more than {limit} links; name the directories")]
    TooManyLinks { limit: usize },
    /// The shell exited before the first command.
    #[error("the shell of the image {image} exited with {code} before the first command")]
    NotStarted { image: String, code: i64 },
    /// The engine failed.
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

/// Explains the exit codes that a shell uses itself.
fn hint(code: i64) -> &'static str {
    match code {
        126 => " (the command exists but is not executable)",
        127 => " (the image has no such command)",
        137 => " (it was killed)",
        _ => "",
    }
}

impl ScriptError {
    /// The failure reason of the job.
    pub fn reason(&self) -> FailureReason {
        match self {
            Self::ImageUnavailable { .. } => FailureReason::BaseImageUnavailable,
            Self::NoShell { .. }
            | Self::CommandFailed { .. }
            | Self::UnknownCommandFailed { .. }
            | Self::OutOfMemory { .. }
            | Self::TooManyArtifacts { .. }
            | Self::ArtifactsTooLarge { .. }
            | Self::TooManyLinks { .. }
            | Self::NotStarted { .. } => FailureReason::JobFailed,
            Self::DiskLimitExceeded { .. } => FailureReason::DiskFull,
            Self::Engine(error) => error.reason(),
        }
    }

    /// The script's exit code, if it ended by itself.
    pub fn exit_code(&self) -> Option<i64> {
        match self {
            Self::CommandFailed { code, .. }
            | Self::UnknownCommandFailed { code }
            | Self::OutOfMemory { code, .. }
            | Self::NotStarted { code, .. } => Some(*code),
            Self::ImageUnavailable { .. }
            | Self::NoShell { .. }
            | Self::DiskLimitExceeded { .. }
            | Self::TooManyArtifacts { .. }
            | Self::ArtifactsTooLarge { .. }
            | Self::TooManyLinks { .. }
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

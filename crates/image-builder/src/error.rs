//! Why an image was not built or not pushed, in sentences that somebody can act on.

use slipway_domain::FailureReason;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// There is no Dockerfile at the path.
    #[error("there is no Dockerfile at {path}; correct the path in the build's settings")]
    DockerfileMissing {
        /// The path in the checkout.
        path: String,
    },
    /// The Dockerfile cannot be used. The text says what the engine did not like.
    #[error("the Dockerfile is not valid: {detail}")]
    DockerfileInvalid {
        /// What the engine said.
        detail: String,
    },
    /// The context directory is not there, or is no directory.
    #[error("the build context {path} is not a directory of the repository")]
    ContextMissing {
        /// The path in the checkout.
        path: String,
    },
    /// A path of the spec leads out of the checkout.
    #[error("{path} leads out of the repository, and nothing outside of it is built")]
    OutsideCheckout {
        /// The path in the checkout.
        path: String,
    },
    /// A base image could not be had.
    #[error("the base image {image} could not be had: {detail}")]
    BaseImageUnavailable {
        /// Its name.
        image: String,
        /// What the engine said.
        detail: String,
    },
    /// A step of the Dockerfile failed.
    #[error("the step {step} failed{}: {detail}", exit_code(*.code))]
    BuildFailed {
        /// The step, as the engine names it.
        step: String,
        /// The exit code of its command, where it ran one.
        code: Option<i64>,
        /// What the engine said.
        detail: String,
    },
    /// The registry did not take the image.
    #[error("the registry {registry} did not take the image: {reason}")]
    PushRefused {
        /// Its host.
        registry: String,
        /// What it said.
        reason: String,
    },
    /// The engine's disk, or ours, is full.
    #[error("the disk of the build host is full; free some space or lower its cache limit")]
    DiskFull,
    /// The Docker Engine did not answer, or broke off.
    #[error("the Docker Engine of the build host is not available: {detail}")]
    EngineUnavailable {
        /// What went wrong.
        detail: String,
    },
    /// The checkout could not be read.
    #[error("the checkout could not be read")]
    Io(#[source] std::io::Error),
    /// The build was called off, and has been stopped in the engine.
    #[error("the build was called off")]
    Canceled,
}

fn exit_code(code: Option<i64>) -> String {
    code.map(|code| format!(" with exit code {code}"))
        .unwrap_or_default()
}

impl BuildError {
    /// The error of a call to the engine that has nothing to do with a Dockerfile.
    pub fn of_engine(error: bollard::errors::Error) -> Self {
        crate::classify::engine_error(error)
    }

    /// The farm's word for this failure.
    ///
    /// A canceled build is no failure; whoever canceled it knows its word.
    pub fn reason(&self) -> FailureReason {
        match self {
            Self::DockerfileMissing { .. } => FailureReason::DockerfileMissing,
            Self::DockerfileInvalid { .. } => FailureReason::DockerfileInvalid,
            Self::BaseImageUnavailable { .. } => FailureReason::BaseImageUnavailable,
            Self::BuildFailed { .. } => FailureReason::BuildFailed,
            Self::PushRefused { .. } => FailureReason::PushRefused,
            Self::DiskFull => FailureReason::DiskFull,
            Self::ContextMissing { .. } | Self::OutsideCheckout { .. } | Self::Canceled => {
                FailureReason::JobFailed
            }
            Self::EngineUnavailable { .. } | Self::Io(_) => FailureReason::RunnerFault,
        }
    }
}

impl From<std::io::Error> for BuildError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull => Self::DiskFull,
            _ => Self::Io(error),
        }
    }
}

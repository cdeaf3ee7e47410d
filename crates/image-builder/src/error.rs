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
    /// The archive of an image is larger than is taken.
    #[error(
        "the image is too large to be handed over as an archive, which must stay below {} MiB when \
         it is packed; make it smaller, push it to a registry, or ask the farm's operator to raise \
         --max-artifact-bytes",
        limit >> 20
    )]
    ArchiveTooLarge {
        /// The size that it must stay below, in bytes.
        limit: u64,
    },
    /// A secret of the build has no value.
    #[error("the secret {id} is to be the variable {variable}, which the project does not have")]
    SecretMissing {
        /// What steps call it.
        id: String,
        /// The variable with its value.
        variable: String,
    },
    /// There is no key for the agent of the build.
    #[error("the SSH key is to be the variable {variable}, which the project does not have")]
    SshKeyMissing {
        /// The variable with the key.
        variable: String,
    },
    /// What is to be the key for the agent of the build is none.
    #[error(
        "the variable {variable} is not a private SSH key that can be used; it must be a whole key, \
         without a passphrase"
    )]
    SshKeyInvalid {
        /// The variable with the key.
        variable: String,
    },
    /// A step wants a secret, or an agent, that the build is not given.
    #[error("the step {step} wants {wanted}, which the build is not given; {advice}")]
    SecretNotGiven {
        /// The step, as the engine names it.
        step: String,
        /// What it wants.
        wanted: String,
        /// What to do.
        advice: &'static str,
    },
    /// There is no SSH agent to be had on the build host.
    #[error("there is no SSH agent for the build: {detail}; install OpenSSH on the build host")]
    SshUnavailable {
        /// What went wrong.
        detail: String,
    },
    /// The image cannot be built for the platform.
    #[error("the image cannot be built for {platform}{}: {detail}; {PLATFORM_ADVICE}", at_step(.step))]
    PlatformUnsupported {
        /// The platform.
        platform: String,
        /// The step it showed at.
        step: Option<String>,
        /// What the engine said.
        detail: String,
    },
    /// A base image is not to be had for the platform.
    #[error(
        "the base image {image} is not to be had for {platform}; name one that is, or another \
         platform"
    )]
    PlatformMissing {
        /// Its name.
        image: String,
        /// The platform.
        platform: String,
    },
    /// The spec wants what only BuildKit has.
    #[error(
        "{wanted} need BuildKit, which the Docker Engine of the build host does not have; \
         update the engine, or let another runner build this"
    )]
    NeedsBuildKit {
        /// What needs it.
        wanted: &'static str,
    },
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

const PLATFORM_ADVICE: &str = "let a runner of that architecture build it, or give the build host \
                               emulation for it (binfmt_misc with QEMU)";

fn at_step(step: &Option<String>) -> String {
    let at = |step: &String| format!(", at the step {step}");
    step.as_ref().map(at).unwrap_or_default()
}

fn exit_code(code: Option<i64>) -> String {
    code.map(|code| format!(" with exit code {code}"))
        .unwrap_or_default()
}

impl BuildError {
    /// The error of a call to the engine that has nothing to do with a Dockerfile.
    pub fn of_engine(error: bollard::errors::Error) -> Self {
        crate::engine::failures::engine_error(error)
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
            Self::SecretMissing { .. }
            | Self::SshKeyMissing { .. }
            | Self::SshKeyInvalid { .. }
            | Self::SecretNotGiven { .. } => FailureReason::SecretMissing,
            Self::PlatformUnsupported { .. } | Self::PlatformMissing { .. } => {
                FailureReason::PlatformUnsupported
            }
            Self::NeedsBuildKit { .. } => FailureReason::Unsupported,
            Self::ContextMissing { .. }
            | Self::OutsideCheckout { .. }
            | Self::ArchiveTooLarge { .. }
            | Self::Canceled => FailureReason::JobFailed,
            Self::EngineUnavailable { .. } | Self::SshUnavailable { .. } | Self::Io(_) => {
                FailureReason::RunnerFault
            }
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

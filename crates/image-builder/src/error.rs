//! Why an image was not built or not pushed, in sentences that a user can act on.

use slipway_domain::FailureReason;

/// Why there is no image. In all variants `detail` is the cause, mostly in the engine's words.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("no Dockerfile found at {path}; correct the path in the build settings")]
    DockerfileMissing {
        /// Relative to the checkout.
        path: String,
    },
    #[error("the Dockerfile is invalid: {detail}")]
    DockerfileInvalid { detail: String },
    /// The patterns of files that are left out of the context are invalid.
    #[error("the patterns in {file} are invalid: {detail}")]
    PatternsInvalid {
        /// The name of the file, without its directory.
        file: String,
        detail: String,
    },
    /// The context directory does not exist, or is not a directory.
    #[error("the build context {path} is not a directory in the repository")]
    ContextMissing {
        /// Relative to the checkout.
        path: String,
    },
    /// The Dockerfile or the context is outside of the checkout.
    #[error("{path} is outside of the repository; use a path inside it")]
    OutsideCheckout {
        /// Relative to the checkout.
        path: String,
    },
    #[error("could not pull the base image {image}: {detail}")]
    BaseImageUnavailable { image: String, detail: String },
    /// The image that a `# syntax=` directive names could not be pulled.
    #[error(
        "could not pull {image}, the frontend that the Dockerfile names with `# syntax=`: {detail}; \
         correct or remove that line"
    )]
    FrontendUnavailable { image: String, detail: String },
    /// A step of the Dockerfile failed.
    #[error("step {step} failed{}: {detail}", with_exit_code(*.code))]
    BuildFailed {
        /// The step as the engine names it, such as `[2/3] RUN make`.
        step: String,
        /// The exit code of its command, if it ran one.
        code: Option<i64>,
        detail: String,
    },
    #[error("the registry {registry} refused the image: {reason}")]
    PushRefused {
        /// The host, with its port if it has one.
        registry: String,
        /// The registry's answer.
        reason: String,
    },
    /// The disk of the engine or of the runner is full.
    #[error("the disk of the build host is full; free some space or lower its cache limit")]
    DiskFull,
    #[error(
        "the image is too large for an archive, which must stay below {} MiB compressed; reduce \
         its size, or push it to a registry instead",
        limit >> 20
    )]
    ArchiveTooLarge {
        /// In bytes; the compressed archive must be smaller.
        limit: u64,
    },
    #[error("secret `{id}` refers to variable `{variable}`, which is not set on the project")]
    SecretMissing {
        /// The id that steps use for the secret.
        id: String,
        variable: String,
    },
    #[error("the SSH key refers to variable `{variable}`, which is not set on the project")]
    SshKeyMissing { variable: String },
    #[error(
        "variable `{variable}` is not a usable private SSH key; it must contain a complete key \
         without a passphrase"
    )]
    SshKeyInvalid { variable: String },
    /// A step requires a secret or an SSH agent that the spec does not provide.
    #[error("step {step} requires {requirement}, which the build does not provide; {advice}")]
    SecretNotProvided {
        /// The step as the engine names it.
        step: String,
        requirement: String,
        advice: &'static str,
    },
    #[error(
        "could not start an SSH agent for the build: {detail}; install OpenSSH on the build host"
    )]
    SshUnavailable { detail: String },
    /// A step needs to run programs of another architecture, and the host has no emulation for it.
    #[error(
        "the image cannot be built for {platform}{}: {detail}; use a runner of that architecture, \
         or install emulation for it on the build host (binfmt_misc with QEMU)",
        at_step(.step)
    )]
    PlatformUnsupported {
        platform: String,
        /// The step that failed, if known.
        step: Option<String>,
        detail: String,
    },
    #[error(
        "the base image {image} is not available for {platform}; choose another base image or \
         another platform"
    )]
    PlatformMissing { image: String, platform: String },
    #[error(
        "{feature} require BuildKit, which the Docker Engine on the build host does not have; \
         update the engine, or use another runner"
    )]
    NeedsBuildKit {
        /// A plural, such as `secrets`.
        feature: &'static str,
    },
    /// The engine, its network, its runtime or its store failed, and not what the job asked for.
    #[error("{} on the build host failed: {detail}", failed_part(.step))]
    HostFailed {
        /// The step as the engine names it, if the fault is in one.
        step: Option<String>,
        detail: String,
    },
    /// The Docker Engine did not answer, or the connection to it broke.
    #[error("the Docker Engine on the build host is unavailable: {detail}")]
    EngineUnavailable { detail: String },
    #[error("could not read the checkout")]
    Io(#[source] std::io::Error),
    /// The build was canceled, and its running step was killed in the engine.
    #[error("the build was canceled")]
    Canceled,
}

fn at_step(step: &Option<String>) -> String {
    step.as_ref()
        .map_or_else(String::new, |step| format!(", at step {step}"))
}

fn failed_part(step: &Option<String>) -> String {
    match step {
        Some(step) => format!("step {step} could not be run: the Docker Engine"),
        None => "the Docker Engine".to_owned(),
    }
}

fn with_exit_code(code: Option<i64>) -> String {
    code.map_or_else(String::new, |code| format!(" with exit code {code}"))
}

impl BuildError {
    /// The failure reason of a job that ends with this error.
    ///
    /// A canceled build has not failed, and its job is not reported with this reason.
    pub fn reason(&self) -> FailureReason {
        match self {
            Self::DockerfileMissing { .. } => FailureReason::DockerfileMissing,
            Self::DockerfileInvalid { .. } | Self::FrontendUnavailable { .. } => {
                FailureReason::DockerfileInvalid
            }
            Self::BaseImageUnavailable { .. } => FailureReason::BaseImageUnavailable,
            Self::BuildFailed { .. } => FailureReason::BuildFailed,
            Self::PushRefused { .. } => FailureReason::PushRefused,
            Self::DiskFull => FailureReason::DiskFull,
            Self::SecretMissing { .. }
            | Self::SshKeyMissing { .. }
            | Self::SshKeyInvalid { .. }
            | Self::SecretNotProvided { .. } => FailureReason::SecretMissing,
            Self::PlatformUnsupported { .. } | Self::PlatformMissing { .. } => {
                FailureReason::PlatformUnsupported
            }
            Self::NeedsBuildKit { .. } => FailureReason::Unsupported,
            // The farm has no reason of its own for these.
            Self::ContextMissing { .. }
            | Self::PatternsInvalid { .. }
            | Self::OutsideCheckout { .. }
            | Self::ArchiveTooLarge { .. }
            | Self::Canceled => FailureReason::JobFailed,
            Self::HostFailed { .. }
            | Self::EngineUnavailable { .. }
            | Self::SshUnavailable { .. }
            | Self::Io(_) => FailureReason::RunnerFault,
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

//! The codes and sentences with which Quay's logs report failures.

use slipway_domain::FailureReason;

/// How the log reports a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The code on the wire, without its prefix.
    pub(crate) code: &'static str,
    /// Whether the farm caused the failure, and not the build.
    pub(crate) internal: bool,
    /// A sentence for people.
    pub(crate) sentence: &'static str,
    /// Whether the runner's message is shown, too.
    pub(crate) shows_cause: bool,
}

impl Fault {
    /// The report of a failure for this reason.
    pub(crate) fn of(reason: FailureReason) -> Self {
        let (code, internal, shows_cause, sentence) = match reason {
            FailureReason::PackageUnavailable => (
                "buildpackissue",
                true,
                false,
                "The package could not be loaded.",
            ),
            FailureReason::PackageInvalid => (
                "cannotextractbuildpack",
                false,
                false,
                "The package could not be unpacked.",
            ),
            FailureReason::SourceUnavailable => (
                "gitfailure",
                false,
                true,
                "The source could not be fetched.",
            ),
            FailureReason::DockerfileMissing | FailureReason::DockerfileInvalid => (
                "dockerfileissue",
                false,
                true,
                "The Dockerfile is missing or cannot be read.",
            ),
            FailureReason::BaseImageUnavailable => (
                "cannotpullbaseimage",
                false,
                true,
                "The base image could not be pulled.",
            ),
            FailureReason::BuildFailed => {
                ("builderror", false, true, "A step of the build failed.")
            }
            FailureReason::JobFailed
            | FailureReason::TimedOut
            | FailureReason::SecretMissing
            | FailureReason::PlatformUnsupported
            | FailureReason::NeedMissing
            | FailureReason::Unsupported
            | FailureReason::Unknown => ("builderror", false, true, "The build failed."),
            FailureReason::PushRefused => {
                ("pushissue", true, true, "The image could not be pushed.")
            }
            FailureReason::RunnerFault => {
                ("buildrunerror", true, false, "The build could not be run.")
            }
            FailureReason::DiskFull => (
                "internalerror",
                true,
                false,
                "The build host's disk is full.",
            ),
            FailureReason::RunnerLost => ("internalerror", true, false, "The build host was lost."),
        };
        Self {
            code,
            internal,
            sentence,
            shows_cause,
        }
    }
}

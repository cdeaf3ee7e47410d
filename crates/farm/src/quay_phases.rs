//! What those who build packages call the phases and the failures of a build.
//!
//! The phases follow from the states of the build's jobs and are stored nowhere.

use chrono::{DateTime, Utc};
use slipway_domain::{FailureReason, JobState, Outcome, Phase};
use slipway_store::builds::Build;
use slipway_store::jobs::Job;

use crate::{Farm, FarmError};

/// Where a build is, in the words of those who build packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PackagePhase {
    /// No runner had it.
    Waiting,
    /// A runner has it.
    BuildScheduled,
    /// The package is being fetched and unpacked.
    Unpacking,
    /// The base image is being fetched.
    Pulling,
    /// The steps of the Dockerfile run.
    Building,
    /// The image is being pushed; nobody calls it off any more.
    Pushing,
    /// Done and pushed.
    Complete,
    /// It failed.
    Error,
    /// Somebody called it off.
    Cancelled,
    /// The farm failed, and tries again.
    InternalError,
    /// The farm failed too often.
    Expired,
}

impl PackagePhase {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::BuildScheduled => "build-scheduled",
            Self::Unpacking => "unpacking",
            Self::Pulling => "pulling",
            Self::Building => "building",
            Self::Pushing => "pushing",
            Self::Complete => "complete",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::InternalError => "internalerror",
            Self::Expired => "expired",
        }
    }

    /// Whether somebody can call the build off.
    pub fn is_cancelable(self) -> bool {
        self < Self::Pushing
    }

    /// The phase of a build with these attempts, in the order they were made, at `now`.
    pub fn of(jobs: &[Job], now: DateTime<Utc>) -> Self {
        let latest = || jobs.iter().filter(|job| !job.superseded);
        let telling = latest()
            .find(|job| job.state.is_running())
            .or_else(|| {
                latest().find(|job| matches!(job.state, JobState::Done(Outcome::Failed(_))))
            })
            .or_else(|| latest().find(|job| !job.state.is_done()))
            .or_else(|| latest().last());
        telling.map_or(Self::Waiting, |job| Self::of_job(job, now))
    }

    fn of_job(job: &Job, now: DateTime<Utc>) -> Self {
        match job.state {
            JobState::Waiting | JobState::Manual | JobState::Pending => match job.attempt {
                ..=1 => Self::Waiting,
                _ => Self::InternalError,
            },
            JobState::Running(lease, _) if lease.expires_at <= now => Self::InternalError,
            JobState::Running(_, phase) => phase.into(),
            JobState::Done(Outcome::Succeeded) => Self::Complete,
            JobState::Done(Outcome::Canceled) => Self::Cancelled,
            JobState::Done(Outcome::Failed(FailureReason::RunnerLost)) => Self::Expired,
            JobState::Done(Outcome::Failed(_) | Outcome::Skipped) => Self::Error,
        }
    }
}

impl From<Phase> for PackagePhase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Preparing => Self::BuildScheduled,
            Phase::Fetching => Self::Unpacking,
            Phase::Pulling => Self::Pulling,
            Phase::Building => Self::Building,
            Phase::Pushing | Phase::Uploading => Self::Pushing,
        }
    }
}

/// How a failure is told in the log of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The code on the wire, without its prefix.
    pub code: &'static str,
    /// Whether the farm is to blame, not the build.
    pub internal: bool,
    /// A sentence for people.
    pub sentence: &'static str,
    /// Whether what the runner said of it is shown as well.
    pub shows_cause: bool,
}

impl Fault {
    /// How a failure for this reason is told.
    pub fn of(reason: FailureReason) -> Self {
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
            FailureReason::JobFailed | FailureReason::TimedOut | FailureReason::Unsupported => {
                ("builderror", false, true, "The build failed.")
            }
            FailureReason::PushRefused => {
                ("pushissue", true, true, "The image could not be pushed.")
            }
            FailureReason::RunnerFault => {
                ("buildrunerror", true, false, "The build could not be run.")
            }
            FailureReason::DiskFull => {
                ("internalerror", true, false, "The build host has no room.")
            }
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

impl Farm {
    /// The phase that a build is in now.
    ///
    /// # Errors
    /// `Unavailable` when the database is.
    pub async fn package_phase(&self, build: &Build) -> Result<PackagePhase, FarmError> {
        let jobs = self.jobs_of(build.id).await?;
        Ok(PackagePhase::of(&jobs, self.now()))
    }
}

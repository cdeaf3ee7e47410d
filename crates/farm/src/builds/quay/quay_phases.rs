//! What those who build packages call the phases and the failures of a build.
//!
//! The phases follow from the states of the build's jobs and are stored nowhere.

use chrono::{DateTime, Utc};
use slipway_domain::rollup::{RollupJob, build_state};
use slipway_domain::{BuildState, FailureReason, JobState, Outcome, Phase};
use slipway_store::builds::Build;
use slipway_store::jobs::Job;

use crate::error::FarmError;
use crate::farm::Farm;

/// How the last attempt of a build ends that was lost too often.
const LOST: Outcome = Outcome::Failed(FailureReason::RunnerLost);

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

    /// Whether nothing comes after it, whatever the farm does.
    pub fn is_final(self) -> bool {
        match self {
            Self::Complete | Self::Error | Self::Cancelled => true,
            Self::Waiting
            | Self::BuildScheduled
            | Self::Unpacking
            | Self::Pulling
            | Self::Building
            | Self::Pushing
            | Self::InternalError
            | Self::Expired => false,
        }
    }

    /// What the log says at the end of an attempt that failed for `reason`. That it was the last
    /// one is no phase of its own there: a build that was lost too often ends with being lost.
    pub(crate) fn of_failed_attempt(reason: FailureReason, tried_again: bool) -> Self {
        match reason {
            FailureReason::RunnerLost => Self::InternalError,
            _ if tried_again => Self::InternalError,
            _ => Self::Error,
        }
    }

    /// The phase of a build with these attempts, in the order they were made, at `now`.
    pub fn of(build: &Build, jobs: &[Job], now: DateTime<Utc>) -> Self {
        let latest = || jobs.iter().filter(|job| !job.superseded);
        let parts = latest().map(|job| RollupJob {
            state: job.state,
            allowed_to_fail: job.allow_failure,
        });
        let could_not_be = build.handed.error.is_some();
        match build_state(&parts.collect::<Vec<RollupJob>>(), could_not_be) {
            BuildState::Succeeded => Self::Complete,
            BuildState::Canceled | BuildState::Skipped => Self::Cancelled,
            BuildState::Failed => {
                let is_lost = |job: &&Job| job.state == JobState::Done(LOST) && !job.allow_failure;
                match latest().find(is_lost) {
                    Some(_) => Self::Expired,
                    None => Self::Error,
                }
            }
            BuildState::Pending | BuildState::Running => {
                let at_work = latest().find_map(|job| Self::at_work(job, now));
                at_work.unwrap_or_else(|| Self::at_rest(jobs))
            }
        }
    }

    /// The phase of a job that a runner has.
    fn at_work(job: &Job, now: DateTime<Utc>) -> Option<Self> {
        match job.state {
            JobState::Running(lease, _) if lease.expires_at <= now => Some(Self::InternalError),
            JobState::Running(_, phase) => Some(phase.into()),
            _ => None,
        }
    }

    /// The phase of a build that waits for a runner.
    fn at_rest(jobs: &[Job]) -> Self {
        let is_again = |next: &&Job| jobs.iter().any(|ended| follows_at_once(next, ended));
        let mut open = jobs.iter().filter(|job| !job.state.is_done());
        match open.find(is_again) {
            Some(_) => Self::InternalError,
            // Nobody had it, it goes on with another job, or somebody wants it tried again.
            None => Self::Waiting,
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

/// Whether `next` is the attempt that the farm made because of how `ended` ended. The farm does in
/// that moment; people who want another attempt need longer.
pub(crate) fn follows_at_once(next: &Job, ended: &Job) -> bool {
    next.retries == Some(ended.id) && Some(next.created_at) == ended.finished_at
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
            FailureReason::JobFailed
            | FailureReason::TimedOut
            | FailureReason::SecretMissing
            | FailureReason::PlatformUnsupported
            | FailureReason::Unsupported
            | FailureReason::Unknown => ("builderror", false, true, "The build failed."),
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
        Ok(PackagePhase::of(build, &jobs, self.now()))
    }
}

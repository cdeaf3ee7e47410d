//! The phases of a build, as Quay names them.
//!
//! A phase follows from the states of the build's jobs and is stored nowhere.

use chrono::{DateTime, Utc};
use slipway_domain::rollup::{RollupJob, build_state};
use slipway_domain::{BuildState, FailureReason, JobState, Outcome, Phase};
use slipway_farm::{Build, Job, is_automatic_retry};

/// The outcome of a job whose last allowed attempt was lost.
const LOST: Outcome = Outcome::Failed(FailureReason::RunnerLost);

/// The phase of a build. The order of the variants is the order in which a build passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuayPhase {
    /// No runner has claimed it.
    Waiting,
    /// A runner has claimed it.
    BuildScheduled,
    /// The package is downloaded and unpacked.
    Unpacking,
    /// The base image is pulled.
    Pulling,
    /// The steps of the Dockerfile run.
    Building,
    /// The image is pushed. The build can no longer be canceled.
    Pushing,
    /// The image was pushed.
    Complete,
    /// The build failed.
    Error,
    /// The build was canceled.
    Cancelled,
    /// The farm lost an attempt and makes another one.
    InternalError,
    /// The farm lost the last allowed attempt.
    Expired,
}

impl QuayPhase {
    /// The name on the wire.
    pub(crate) fn as_str(self) -> &'static str {
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

    /// Whether no other phase can follow. A lost build can be retried by people.
    pub(crate) fn is_final(self) -> bool {
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

    /// The phase in the log at the end of an attempt that failed for `reason`.
    ///
    /// The log has no `expired`: the last lost attempt of a build ends like the earlier ones.
    pub(crate) fn of_failed_attempt(reason: FailureReason, was_retried: bool) -> Self {
        match reason {
            FailureReason::RunnerLost => Self::InternalError,
            _ if was_retried => Self::InternalError,
            _ => Self::Error,
        }
    }

    /// The phase at `now` of a build with these attempts, in the order of their creation.
    pub fn of(build: &Build, jobs: &[Job], now: DateTime<Utc>) -> Self {
        let latest = || jobs.iter().filter(|job| !job.superseded);
        let parts = latest().map(|job| RollupJob {
            state: job.state,
            allowed_to_fail: job.allow_failure,
        });
        let could_not_be_planned = build.submission.error.is_some();
        match build_state(&parts.collect::<Vec<RollupJob>>(), could_not_be_planned) {
            BuildState::Succeeded => Self::Complete,
            BuildState::Canceled | BuildState::Skipped => Self::Cancelled,
            BuildState::Failed => {
                let is_lost = |job: &Job| job.state == JobState::Done(LOST) && !job.allow_failure;
                if latest().any(is_lost) {
                    Self::Expired
                } else {
                    Self::Error
                }
            }
            BuildState::Pending | BuildState::Running => latest()
                .find_map(|job| Self::of_running_job(job, now))
                .unwrap_or_else(|| Self::without_running_job(jobs)),
        }
    }

    fn of_running_job(job: &Job, now: DateTime<Utc>) -> Option<Self> {
        match job.state {
            // The runner is lost, although the duty that fails the job has not run yet.
            JobState::Running(lease, _) if lease.expires_at <= now => Some(Self::InternalError),
            JobState::Running(_, phase) => Some(phase.into()),
            _ => None,
        }
    }

    fn without_running_job(jobs: &[Job]) -> Self {
        let is_retry = |next: &Job| jobs.iter().any(|job| is_automatic_retry(next, job));
        let mut unfinished = jobs.iter().filter(|job| !job.state.is_done());
        if unfinished.any(is_retry) {
            Self::InternalError
        } else {
            // The job is new, is the next one of several, or was retried by a person.
            Self::Waiting
        }
    }
}

impl From<Phase> for QuayPhase {
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

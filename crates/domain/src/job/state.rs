//! The states of a job, and the one function that holds every legal transition.

use chrono::{DateTime, Utc};

use crate::ids::RunnerId;
use crate::text_enum::text_enum;

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Needs other jobs that have not finished.
    Waiting,
    /// Can run, and waits for a user to start it.
    Manual,
    /// In the queue, waiting for a runner.
    Pending,
    /// Claimed by a runner, until the lease expires.
    Running(Lease, Phase),
    /// Finished. This state is final.
    Done(Outcome),
}

/// A runner's lease on a job. Each report renews it; without reports it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub runner: RunnerId,
    /// When it expires unless it is renewed.
    pub expires_at: DateTime<Utc>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Succeeded,
    Failed(FailureReason),
    /// A user canceled it.
    Canceled,
    /// It did not run, because of how the jobs it needs ended.
    Skipped,
}

text_enum!(
    /// The name of a state, without its data.
    StateName, "job state", "waiting, manual, pending, running, succeeded, failed, canceled or skipped" {
        Waiting = "waiting",
        Manual = "manual",
        Pending = "pending",
        Running = "running",
        Succeeded = "succeeded",
        Failed = "failed",
        Canceled = "canceled",
        Skipped = "skipped",
    }
);

text_enum!(
    /// What a running job is doing.
    Phase, "phase", "preparing, fetching, pulling, building, pushing or uploading" {
        /// The runner prepares a work directory.
        Preparing = "preparing",
        /// The source is being fetched.
        Fetching = "fetching",
        /// Base or cache images are being pulled.
        Pulling = "pulling",
        /// The image is being built.
        Building = "building",
        /// The image is being pushed.
        Pushing = "pushing",
        /// Artifacts are being uploaded.
        Uploading = "uploading",
    }
);

impl Phase {
    /// Whether the build of a package can be canceled in this phase. From the push on, the image may
    /// already be in the registry.
    pub fn is_cancelable(self) -> bool {
        match self {
            Phase::Preparing | Phase::Fetching | Phase::Pulling | Phase::Building => true,
            Phase::Pushing | Phase::Uploading => false,
        }
    }
}

text_enum!(
    /// Why a job failed.
    FailureReason, "failure reason", "a failure reason of the farm" {
        /// The job failed, and the runner gave no specific reason.
        JobFailed = "job_failed",
        /// The repository, ref or commit could not be fetched.
        SourceUnavailable = "source_unavailable",
        /// The package could not be fetched.
        PackageUnavailable = "package_unavailable",
        /// The package is not a supported archive, or it is damaged.
        PackageInvalid = "package_invalid",
        /// There is no Dockerfile at the given path.
        DockerfileMissing = "dockerfile_missing",
        /// The Dockerfile cannot be parsed.
        DockerfileInvalid = "dockerfile_invalid",
        /// A base image could not be pulled.
        BaseImageUnavailable = "base_image_unavailable",
        /// A secret of the build refers to a variable that is not set on the project.
        SecretMissing = "secret_missing",
        /// The image cannot be built for the requested platform.
        PlatformUnsupported = "platform_unsupported",
        /// A step of the Dockerfile failed.
        BuildFailed = "build_failed",
        /// The registry refused the image.
        PushRefused = "push_refused",
        /// The runner's disk is full.
        DiskFull = "disk_full",
        /// The job exceeded its timeout.
        TimedOut = "timed_out",
        /// The runner failed, for instance because its Docker Engine was not reachable.
        RunnerFault = "runner_fault",
        /// The runner stopped reporting and its lease expired.
        RunnerLost = "runner_lost",
        /// A file or an image of a needed job is missing.
        NeedMissing = "need_missing",
        /// The job needs features that its runner does not support.
        Unsupported = "unsupported",
        /// The runner gave a reason that this version does not know.
        Unknown = "unknown_failure",
    }
);

impl FailureReason {
    /// Returns true if the farm caused the failure, so that another attempt may succeed.
    pub fn is_infrastructure(self) -> bool {
        matches!(self, Self::RunnerLost | Self::RunnerFault | Self::DiskFull)
    }

    /// Like [`is_infrastructure`](Self::is_infrastructure), for a job that builds a package.
    ///
    /// Failures of the package's server and of the registry count as infrastructure too, because
    /// clients of the package API expect such builds to be retried.
    pub fn is_infrastructure_for_packages(self) -> bool {
        self.is_infrastructure() || matches!(self, Self::PackageUnavailable | Self::PushRefused)
    }
}

/// The result that a runner reports for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportedResult {
    Succeeded,
    Failed(FailureReason),
}

/// An event that can change the state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The jobs it needs have ended so that it can run.
    NeedsMet,
    /// Like `NeedsMet`, for a job that has to be started manually.
    NeedsMetManual,
    /// A user starts a manual job.
    Play,
    /// The jobs it needs have ended so that it cannot run.
    NeedsFailed,
    /// Something that a needed job was to leave is missing.
    NeedMissing,
    /// A runner claims it.
    Claim(Lease),
    /// Its runner reports progress, and possibly a new phase.
    Renew(Lease, Option<Phase>),
    /// Its runner reports the result.
    Report(RunnerId, ReportedResult),
    /// A user cancels it.
    Cancel,
    /// The farm checks whether the lease has expired.
    CheckLease { now: DateTime<Utc> },
    /// Its build exceeded the build's timeout.
    Expire,
}

/// An event that is not legal in the job's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {event:?} is not allowed for a job in state {}", from.name())]
pub struct InvalidTransition {
    /// The state of the job, which is unchanged.
    pub from: JobState,
    pub event: Event,
}

impl JobState {
    /// Returns the state after `event`. This is the only place where one state becomes another.
    ///
    /// # Errors
    /// `InvalidTransition` if the event is not legal in this state.
    pub fn after(self, event: Event) -> Result<JobState, InvalidTransition> {
        use JobState::{Done, Manual, Pending, Running, Waiting};
        Ok(match (self, event) {
            (Waiting, Event::NeedsMet) => Pending,
            (Waiting, Event::NeedsMetManual) => Manual,
            (Manual, Event::Play) => Pending,
            (Waiting, Event::NeedsFailed) => Done(Outcome::Skipped),
            (Pending | Running(..), Event::NeedMissing) => {
                Done(Outcome::Failed(FailureReason::NeedMissing))
            }
            (Pending, Event::Claim(lease)) => Running(lease, Phase::Preparing),
            // Only the runner that holds the lease may renew it: one that lost the job and comes back
            // must not revive it.
            (Running(old, phase), Event::Renew(new, next)) if old.runner == new.runner => {
                Running(new, next.unwrap_or(phase))
            }
            (Running(lease, _), Event::Report(runner, result)) if lease.runner == runner => {
                Done(match result {
                    ReportedResult::Succeeded => Outcome::Succeeded,
                    ReportedResult::Failed(reason) => Outcome::Failed(reason),
                })
            }
            (Waiting | Manual | Pending | Running(..), Event::Cancel) => Done(Outcome::Canceled),
            (Waiting | Manual | Pending | Running(..), Event::Expire) => {
                Done(Outcome::Failed(FailureReason::TimedOut))
            }
            (Running(lease, _), Event::CheckLease { now }) if now < lease.expires_at => self,
            (Running(..), Event::CheckLease { .. }) => {
                Done(Outcome::Failed(FailureReason::RunnerLost))
            }
            (from, event) => return Err(InvalidTransition { from, event }),
        })
    }

    /// The name of the state, without its data.
    pub fn kind(&self) -> StateName {
        match self {
            JobState::Waiting => StateName::Waiting,
            JobState::Manual => StateName::Manual,
            JobState::Pending => StateName::Pending,
            JobState::Running(..) => StateName::Running,
            JobState::Done(Outcome::Succeeded) => StateName::Succeeded,
            JobState::Done(Outcome::Failed(_)) => StateName::Failed,
            JobState::Done(Outcome::Canceled) => StateName::Canceled,
            JobState::Done(Outcome::Skipped) => StateName::Skipped,
        }
    }

    /// The word used in the database and in the native API.
    pub fn name(&self) -> &'static str {
        self.kind().as_str()
    }

    /// Returns true if the job has finished.
    pub fn is_done(&self) -> bool {
        matches!(self, JobState::Done(_))
    }

    /// Returns true if a runner has claimed the job and not finished it.
    pub fn is_running(&self) -> bool {
        matches!(self, JobState::Running(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn lease(runner: i64, until: i64) -> Lease {
        Lease {
            runner: RunnerId(runner),
            expires_at: at(until),
        }
    }

    /// Every pair of a state and an event, with the next state or `None` for a refusal.
    #[test]
    fn every_pair_of_state_and_event_is_decided() {
        use Event::*;
        use JobState::{Done, Manual, Pending, Running, Waiting};
        let held = lease(1, 10);
        let renewed = lease(1, 20);
        let lost = Done(Outcome::Failed(FailureReason::RunnerLost));
        let states = [
            Waiting,
            Manual,
            Pending,
            Running(held, Phase::Fetching),
            Done(Outcome::Succeeded),
            Done(Outcome::Failed(FailureReason::BuildFailed)),
            Done(Outcome::Canceled),
            Done(Outcome::Skipped),
        ];
        let canceled = Some(Done(Outcome::Canceled));
        let expired = Some(Done(Outcome::Failed(FailureReason::TimedOut)));
        let missing = Some(Done(Outcome::Failed(FailureReason::NeedMissing)));
        // One row per event: the next state after Waiting, Manual, Pending and Running. Done refuses
        // every event.
        let table = [
            (NeedsMet, [Some(Pending), None, None, None]),
            (NeedsMetManual, [Some(Manual), None, None, None]),
            (Play, [None, Some(Pending), None, None]),
            (
                NeedsFailed,
                [Some(Done(Outcome::Skipped)), None, None, None],
            ),
            (NeedMissing, [None, None, missing, missing]),
            (
                Claim(held),
                [None, None, Some(Running(held, Phase::Preparing)), None],
            ),
            (
                Renew(renewed, None),
                [None, None, None, Some(Running(renewed, Phase::Fetching))],
            ),
            (
                Renew(renewed, Some(Phase::Pushing)),
                [None, None, None, Some(Running(renewed, Phase::Pushing))],
            ),
            (Renew(lease(2, 20), None), [None, None, None, None]),
            (
                Report(RunnerId(1), ReportedResult::Succeeded),
                [None, None, None, Some(Done(Outcome::Succeeded))],
            ),
            (
                Report(
                    RunnerId(1),
                    ReportedResult::Failed(FailureReason::PushRefused),
                ),
                [
                    None,
                    None,
                    None,
                    Some(Done(Outcome::Failed(FailureReason::PushRefused))),
                ],
            ),
            (
                Report(RunnerId(2), ReportedResult::Succeeded),
                [None, None, None, None],
            ),
            (Cancel, [canceled, canceled, canceled, canceled]),
            (Expire, [expired, expired, expired, expired]),
            (
                CheckLease { now: at(9) },
                [None, None, None, Some(Running(held, Phase::Fetching))],
            ),
            (CheckLease { now: at(10) }, [None, None, None, Some(lost)]),
        ];
        for (event, expected) in table {
            for (index, state) in states.into_iter().enumerate() {
                let wanted = expected.get(index).copied().flatten();
                assert_eq!(state.after(event).ok(), wanted, "{state:?} on {event:?}");
            }
        }
    }

    #[test]
    fn phases_from_the_push_on_are_not_cancelable() {
        let cancelable = Phase::ALL.iter().filter(|phase| phase.is_cancelable());
        assert!(cancelable.eq(&[
            Phase::Preparing,
            Phase::Fetching,
            Phase::Pulling,
            Phase::Building,
        ]));
    }

    #[test]
    fn phases_and_failure_reasons_round_trip_as_words() {
        for phase in Phase::ALL {
            assert_eq!(phase.as_str().parse(), Ok(*phase));
        }
        for reason in FailureReason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
        }
        assert!("nonsense".parse::<Phase>().is_err());
    }
}

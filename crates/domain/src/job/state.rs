//! The states of a job, and the one function that moves a job from one to the next.

use chrono::{DateTime, Utc};

use crate::ids::RunnerId;
use crate::text_enum::text_enum;

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Needs jobs that have not finished.
    Waiting,
    /// Could run, and waits for somebody to start it.
    Manual,
    /// In the queue.
    Pending,
    /// With a runner, for as long as the lease lasts.
    Running(Lease, Phase),
    /// Over. Nothing changes it any more.
    Done(Outcome),
}

/// A runner's hold on a job; each report renews it, and it lapses when the runner is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub runner: RunnerId,
    /// When it lapses unless it is renewed.
    pub expires_at: DateTime<Utc>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It did what it should.
    Succeeded,
    /// It could not.
    Failed(FailureReason),
    /// Somebody called it off.
    Canceled,
    /// A job that it needs did not succeed.
    Skipped,
}

text_enum!(
    /// The states by name alone, for what looks jobs up by them.
    StateName, "job state", "waiting, manual, pending, running, succeeded, failed, canceled or skipped" {
        /// [`JobState::Waiting`].
        Waiting = "waiting",
        /// [`JobState::Manual`].
        Manual = "manual",
        /// [`JobState::Pending`].
        Pending = "pending",
        /// [`JobState::Running`].
        Running = "running",
        /// [`Outcome::Succeeded`].
        Succeeded = "succeeded",
        /// [`Outcome::Failed`].
        Failed = "failed",
        /// [`Outcome::Canceled`].
        Canceled = "canceled",
        /// [`Outcome::Skipped`].
        Skipped = "skipped",
    }
);

text_enum!(
    /// What a running job is doing.
    Phase, "phase", "preparing, fetching, pulling, building, pushing or uploading" {
        /// The runner has the job and makes a place for it.
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

text_enum!(
    /// Why a job failed.
    FailureReason, "failure reason", "a failure reason of the farm" {
        /// The job's own work failed, and the runner could not say more.
        JobFailed = "job_failed",
        /// The repository, the ref or the commit could not be fetched.
        SourceUnavailable = "source_unavailable",
        /// The package with the source could not be fetched.
        PackageUnavailable = "package_unavailable",
        /// The package is no archive that is unpacked, or not as it should be.
        PackageInvalid = "package_invalid",
        /// There is no Dockerfile where the job says.
        DockerfileMissing = "dockerfile_missing",
        /// The Dockerfile cannot be parsed.
        DockerfileInvalid = "dockerfile_invalid",
        /// A base image could not be had.
        BaseImageUnavailable = "base_image_unavailable",
        /// A secret that the build is to have is not a variable of the project.
        SecretMissing = "secret_missing",
        /// The image cannot be built for the platform that was asked for.
        PlatformUnsupported = "platform_unsupported",
        /// A step of the Dockerfile failed.
        BuildFailed = "build_failed",
        /// The registry did not take the image.
        PushRefused = "push_refused",
        /// The runner's disk is full.
        DiskFull = "disk_full",
        /// The job took longer than it may.
        TimedOut = "timed_out",
        /// The runner could not do its part, for instance because its Docker Engine was away.
        RunnerFault = "runner_fault",
        /// The runner fell silent and its lease lapsed.
        RunnerLost = "runner_lost",
        /// The job needs something that the runner which took it cannot do.
        Unsupported = "unsupported",
        /// The runner gave a reason that the farm does not know.
        Unknown = "unknown_failure",
    }
);

impl FailureReason {
    /// Whether the farm, not the job, is to blame, so that another attempt may well succeed.
    pub fn is_infrastructure(self) -> bool {
        matches!(self, Self::RunnerLost | Self::RunnerFault | Self::DiskFull)
    }

    /// The same for a job that builds a package. Where the package comes from and the registry
    /// count as the farm's there, since those who ask for such builds expect them to be tried again.
    pub fn is_infrastructure_for_packages(self) -> bool {
        self.is_infrastructure() || matches!(self, Self::PackageUnavailable | Self::PushRefused)
    }
}

/// What a runner says at the end of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportedResult {
    /// The job did what it should.
    Succeeded,
    /// It could not.
    Failed(FailureReason),
}

/// Something that happens to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The jobs it needs have all succeeded.
    NeedsMet,
    /// The same, for a job that somebody is to start by hand.
    Offer,
    /// Somebody starts it by hand.
    Play,
    /// A job it needs ended in another way.
    NeedsFailed,
    /// A runner takes it.
    Claim(Lease),
    /// Its runner shows that it is at work, and perhaps in another phase.
    Renew(Lease, Option<Phase>),
    /// Its runner says how it ended.
    Report(RunnerId, ReportedResult),
    /// Somebody calls it off.
    Cancel,
    /// The farm looks whether the lease still holds.
    CheckLease {
        /// The time at which it looks.
        now: DateTime<Utc>,
    },
    /// Its whole build took longer than it may.
    Expire,
}

/// An event that the job's state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job in state {} does not take the event {event:?}", from.name())]
pub struct InvalidTransition {
    /// The state the job stays in.
    pub from: JobState,
    /// What was refused.
    pub event: Event,
}

impl JobState {
    /// The state after `event`: the only place where one state becomes another.
    ///
    /// # Errors
    /// `InvalidTransition` when the event does not belong to this state; the job stays as it is.
    pub fn after(self, event: Event) -> Result<JobState, InvalidTransition> {
        use JobState::{Done, Manual, Pending, Running, Waiting};
        Ok(match (self, event) {
            (Waiting, Event::NeedsMet) => Pending,
            (Waiting, Event::Offer) => Manual,
            (Manual, Event::Play) => Pending,
            (Waiting, Event::NeedsFailed) => Done(Outcome::Skipped),
            (Pending, Event::Claim(lease)) => Running(lease, Phase::Preparing),
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

    /// Which of the states it is, without what is true in it alone.
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

    /// The word that is stored and that the native API uses.
    pub fn name(&self) -> &'static str {
        self.kind().as_str()
    }

    /// Whether the job is over.
    pub fn is_done(&self) -> bool {
        matches!(self, JobState::Done(_))
    }

    /// Whether a runner has it.
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

    /// Every pair of a state and an event, with the state that follows or `None` for a refusal.
    #[test]
    fn every_pair_of_state_and_event_is_decided() {
        use Event::*;
        use JobState::{Done, Manual, Pending, Running, Waiting};
        let mine = lease(1, 10);
        let renewed = lease(1, 20);
        let lost = Done(Outcome::Failed(FailureReason::RunnerLost));
        let states = [
            Waiting,
            Manual,
            Pending,
            Running(mine, Phase::Fetching),
            Done(Outcome::Succeeded),
            Done(Outcome::Failed(FailureReason::BuildFailed)),
            Done(Outcome::Canceled),
            Done(Outcome::Skipped),
        ];
        let canceled = Some(Done(Outcome::Canceled));
        let expired = Some(Done(Outcome::Failed(FailureReason::TimedOut)));
        // One row an event: what follows in Waiting, Manual, Pending, Running. Done refuses all.
        let table = [
            (NeedsMet, [Some(Pending), None, None, None]),
            (Offer, [Some(Manual), None, None, None]),
            (Play, [None, Some(Pending), None, None]),
            (
                NeedsFailed,
                [Some(Done(Outcome::Skipped)), None, None, None],
            ),
            (
                Claim(mine),
                [None, None, Some(Running(mine, Phase::Preparing)), None],
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
                [None, None, None, Some(Running(mine, Phase::Fetching))],
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
    fn words_can_be_read_back() {
        for phase in Phase::ALL {
            assert_eq!(phase.as_str().parse(), Ok(*phase));
        }
        for reason in FailureReason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
        }
        assert!("nonsense".parse::<Phase>().is_err());
    }
}

//! The state of a build, which follows from the states of its jobs and from nothing else.

use crate::state::{JobState, Outcome};
use crate::words::words;

words!(
    /// The state of a build.
    BuildState, "build state", "pending, running, succeeded, failed, canceled or skipped" {
        /// No job has begun.
        Pending = "pending",
        /// Some job has begun and some job is not over.
        Running = "running",
        /// Every job is over, and what had to succeed did.
        Succeeded = "succeeded",
        /// Every job is over, and one failed that must not.
        Failed = "failed",
        /// Every job is over, none failed that must not, and one was called off.
        Canceled = "canceled",
        /// Every job was skipped.
        Skipped = "skipped",
    }
);

impl BuildState {
    /// Whether nothing more will happen, unless somebody retries.
    pub fn is_done(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

/// What the roll-up needs to know of the latest attempt of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The job's state.
    pub state: JobState,
    /// Whether its failure leaves the build a success.
    pub allowed_to_fail: bool,
}

/// Rolls the latest attempts of a build's jobs up into the build's state.
///
/// A job that waits to be started by hand holds nothing up: with those that wait for it, it counts
/// as one that was skipped.
pub fn roll_up(parts: &[Part]) -> BuildState {
    let any = |test: fn(&JobState) -> bool| parts.iter().any(|part| test(&part.state));
    let is_offered = any(|state| *state == JobState::Manual);
    let is_open = any(|state| matches!(state, JobState::Pending | JobState::Running(..)))
        || (!is_offered && any(|state| *state == JobState::Waiting));
    if is_open {
        return if any(|state| state.is_running() || state.is_done()) {
            BuildState::Running
        } else {
            BuildState::Pending
        };
    }
    let has_failed = |part: &Part| {
        !part.allowed_to_fail && matches!(part.state, JobState::Done(Outcome::Failed(_)))
    };
    let has_run = |state: &JobState| {
        !matches!(
            state,
            JobState::Waiting | JobState::Manual | JobState::Done(Outcome::Skipped)
        )
    };
    if parts.iter().any(has_failed) {
        BuildState::Failed
    } else if any(|state| *state == JobState::Done(Outcome::Canceled)) {
        BuildState::Canceled
    } else if parts.is_empty() || any(has_run) {
        BuildState::Succeeded
    } else {
        BuildState::Skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RunnerId;
    use crate::state::{FailureReason, Lease, Phase};
    use chrono::DateTime;

    fn alphabet() -> Vec<Part> {
        let lease = Lease {
            runner: RunnerId(1),
            expires_at: DateTime::UNIX_EPOCH,
        };
        let states = [
            JobState::Waiting,
            JobState::Manual,
            JobState::Pending,
            JobState::Running(lease, Phase::Building),
            JobState::Done(Outcome::Succeeded),
            JobState::Done(Outcome::Failed(FailureReason::JobFailed)),
            JobState::Done(Outcome::Canceled),
            JobState::Done(Outcome::Skipped),
        ];
        states
            .into_iter()
            .flat_map(|state| {
                [false, true].map(|allowed_to_fail| Part {
                    state,
                    allowed_to_fail,
                })
            })
            .collect()
    }

    /// All builds of up to four jobs: the roll-up is done exactly when nothing more happens by
    /// itself, whatever the order of the jobs, and a success hides no failure.
    #[test]
    fn the_roll_up_holds_for_every_build_of_up_to_four_jobs() {
        let alphabet = alphabet();
        let mut builds: Vec<Vec<Part>> = vec![vec![]];
        let mut longest = builds.clone();
        for _ in 0..4 {
            longest = longest
                .iter()
                .flat_map(|build| {
                    alphabet
                        .iter()
                        .map(|part| build.iter().copied().chain([*part]).collect())
                })
                .collect();
            builds.extend(longest.iter().cloned());
        }
        for build in builds {
            let state = roll_up(&build);
            let is_offered = build.iter().any(|part| part.state == JobState::Manual);
            let done = build.iter().all(|part| match part.state {
                JobState::Done(_) | JobState::Manual => true,
                JobState::Waiting => is_offered,
                JobState::Pending | JobState::Running(..) => false,
            });
            assert_eq!(state.is_done(), done, "{build:?}");
            let reversed: Vec<Part> = build.iter().rev().copied().collect();
            assert_eq!(roll_up(&reversed), state, "{build:?}");
            let fatal = build.iter().any(|part| {
                !part.allowed_to_fail && matches!(part.state, JobState::Done(Outcome::Failed(_)))
            });
            assert_eq!(state == BuildState::Failed, done && fatal, "{build:?}");
        }
    }
}

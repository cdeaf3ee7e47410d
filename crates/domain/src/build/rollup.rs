//! The state of a build, computed from the states of its jobs and nothing else.

use crate::job::state::{JobState, Outcome};
use crate::text_enum::text_enum;

text_enum!(
    /// The state of a build.
    BuildState, "build state", "pending, running, succeeded, failed, canceled or skipped" {
        /// No job has started.
        Pending = "pending",
        /// Some job has started, and some job has not finished.
        Running = "running",
        /// All jobs finished, and every job that must succeed did.
        Succeeded = "succeeded",
        /// All jobs finished, and a job that must succeed failed.
        Failed = "failed",
        /// All jobs finished, none that must succeed failed, and at least one was canceled.
        Canceled = "canceled",
        /// Every job was skipped.
        Skipped = "skipped",
    }
);

impl BuildState {
    /// Returns true if the build has finished. Only a retry changes it then.
    pub fn is_done(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

/// The latest attempt of one job, as far as it counts for the build's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollupJob {
    pub state: JobState,
    /// Whether the build can succeed although this job failed.
    pub allowed_to_fail: bool,
}

/// The state of a build with these jobs.
///
/// `creation_failed` means that the build itself has an error, for instance an invalid pipeline
/// definition. A build that has no jobs for that reason is failed.
pub fn build_state(jobs: &[RollupJob], creation_failed: bool) -> BuildState {
    match jobs {
        [] if creation_failed => BuildState::Failed,
        jobs => roll_up(jobs),
    }
}

/// Rolls the latest attempts of a build's jobs up into the build's state.
///
/// A manual job that was not started does not keep the build open: it counts as skipped, and so do
/// the jobs that wait for it.
pub fn roll_up(jobs: &[RollupJob]) -> BuildState {
    let any = |test: fn(&JobState) -> bool| jobs.iter().any(|job| test(&job.state));
    let has_manual = any(|state| *state == JobState::Manual);
    // Next to a manual job, a waiting job may be waiting for it, so it does not keep the build open.
    let is_open = any(|state| matches!(state, JobState::Pending | JobState::Running(..)))
        || (!has_manual && any(|state| *state == JobState::Waiting));
    if is_open {
        return if any(|state| state.is_running() || state.is_done()) {
            BuildState::Running
        } else {
            BuildState::Pending
        };
    }
    let is_fatal = |job: &RollupJob| {
        !job.allowed_to_fail && matches!(job.state, JobState::Done(Outcome::Failed(_)))
    };
    let has_run = |state: &JobState| {
        !matches!(
            state,
            JobState::Waiting | JobState::Manual | JobState::Done(Outcome::Skipped)
        )
    };
    if jobs.iter().any(is_fatal) {
        BuildState::Failed
    } else if any(|state| *state == JobState::Done(Outcome::Canceled)) {
        BuildState::Canceled
    } else if jobs.is_empty() || any(has_run) {
        BuildState::Succeeded
    } else {
        BuildState::Skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RunnerId;
    use crate::job::state::{FailureReason, Lease, Phase};
    use chrono::DateTime;

    fn alphabet() -> Vec<RollupJob> {
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
                [false, true].map(|allowed_to_fail| RollupJob {
                    state,
                    allowed_to_fail,
                })
            })
            .collect()
    }

    /// Every combination of up to five jobs, in any order.
    fn builds(alphabet: &[RollupJob]) -> Vec<Vec<RollupJob>> {
        let mut all: Vec<(usize, Vec<RollupJob>)> = vec![(0, Vec::new())];
        let mut longest = all.clone();
        for _ in 0..5 {
            let longer = |(least, build): &(usize, Vec<RollupJob>)| {
                let build = build.clone();
                let more = alphabet.iter().enumerate().skip(*least);
                more.map(move |(index, part)| (index, [build.as_slice(), &[*part]].concat()))
                    .collect::<Vec<_>>()
            };
            longest = longest.iter().flat_map(longer).collect();
            all.extend(longest.iter().cloned());
        }
        all.into_iter().map(|(_, build)| build).collect()
    }

    /// For all builds of up to five jobs: the build is done exactly when no job can change by
    /// itself, the order of the jobs does not matter, and each state has its documented meaning.
    #[test]
    fn the_roll_up_holds_for_every_build_of_up_to_five_jobs() {
        let builds = builds(&alphabet());
        // The number of multisets of five out of sixteen jobs and "no job".
        assert_eq!(builds.len(), 20_349);
        for build in builds {
            let state = roll_up(&build);
            let any = |test: fn(&JobState) -> bool| build.iter().any(|part| test(&part.state));
            let all = |test: fn(&JobState) -> bool| build.iter().all(|part| test(&part.state));
            let has_manual = any(|state| *state == JobState::Manual);
            let done = build.iter().all(|part| match part.state {
                JobState::Done(_) | JobState::Manual => true,
                JobState::Waiting => has_manual,
                JobState::Pending | JobState::Running(..) => false,
            });
            assert_eq!(state.is_done(), done, "{build:?}");
            let started = any(|state| state.is_running() || state.is_done());
            assert_eq!(state == BuildState::Running, !done && started, "{build:?}");
            let reversed: Vec<RollupJob> = build.iter().rev().copied().collect();
            let mut turned = build.clone();
            turned.rotate_left(build.len() / 2);
            assert_eq!([&reversed, &turned].map(|other| roll_up(other)), [state; 2]);
            let fatal = build.iter().any(|part| {
                !part.allowed_to_fail && matches!(part.state, JobState::Done(Outcome::Failed(_)))
            });
            assert_eq!(state == BuildState::Failed, done && fatal, "{build:?}");
            let canceled = any(|state| *state == JobState::Done(Outcome::Canceled));
            let ends_canceled = done && !fatal && canceled;
            assert_eq!(state == BuildState::Canceled, ends_canceled, "{build:?}");
            let idle = all(|state| {
                matches!(
                    state,
                    JobState::Waiting | JobState::Manual | JobState::Done(Outcome::Skipped)
                )
            });
            let skipped = done && idle && !build.is_empty();
            assert_eq!(state == BuildState::Skipped, skipped, "{build:?}");
            // An error of the build itself only counts when there are no jobs.
            let with_error = build_state(&build, true);
            let expected = if build.is_empty() {
                BuildState::Failed
            } else {
                state
            };
            assert_eq!(with_error, expected);
            assert_eq!(build_state(&build, false), state);
        }
    }
}

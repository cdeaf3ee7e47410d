//! The state of a build, which follows from the states of its jobs and from nothing else.

use crate::job::state::{JobState, Outcome};
use crate::text_enum::text_enum;

text_enum!(
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
pub struct RollupJob {
    /// The job's state.
    pub state: JobState,
    /// Whether its failure leaves the build a success.
    pub allowed_to_fail: bool,
}

/// The state of a build of these jobs. One that could not be, so that it has none, has failed.
pub fn build_state(parts: &[RollupJob], could_not_be: bool) -> BuildState {
    match parts {
        [] if could_not_be => BuildState::Failed,
        parts => roll_up(parts),
    }
}

/// Rolls the latest attempts of a build's jobs up into the build's state.
///
/// A job that waits to be started by hand holds nothing up: with those that wait for it, it counts
/// as one that was skipped.
pub fn roll_up(parts: &[RollupJob]) -> BuildState {
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
    let has_failed = |part: &RollupJob| {
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

    /// Every choice of up to five parts, whatever their order.
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

    /// All builds of up to five jobs: the roll-up is done exactly when nothing more happens by
    /// itself, whatever the order of the jobs; a success hides no failure, and each state means
    /// what it says.
    #[test]
    fn the_roll_up_holds_for_every_build_of_up_to_five_jobs() {
        let builds = builds(&alphabet());
        // As many as there are ways to choose five of sixteen parts and nothing, with repetition.
        assert_eq!(builds.len(), 20_349);
        for build in builds {
            let state = roll_up(&build);
            let any = |test: fn(&JobState) -> bool| build.iter().any(|part| test(&part.state));
            let all = |test: fn(&JobState) -> bool| build.iter().all(|part| test(&part.state));
            let is_offered = any(|state| *state == JobState::Manual);
            let done = build.iter().all(|part| match part.state {
                JobState::Done(_) | JobState::Manual => true,
                JobState::Waiting => is_offered,
                JobState::Pending | JobState::Running(..) => false,
            });
            assert_eq!(state.is_done(), done, "{build:?}");
            let begun = any(|state| state.is_running() || state.is_done());
            assert_eq!(state == BuildState::Running, !done && begun, "{build:?}");
            let reversed: Vec<RollupJob> = build.iter().rev().copied().collect();
            let mut turned = build.clone();
            turned.rotate_left(build.len() / 2);
            assert_eq!([&reversed, &turned].map(|other| roll_up(other)), [state; 2]);
            let fatal = build.iter().any(|part| {
                !part.allowed_to_fail && matches!(part.state, JobState::Done(Outcome::Failed(_)))
            });
            assert_eq!(state == BuildState::Failed, done && fatal, "{build:?}");
            let canceled = any(|state| *state == JobState::Done(Outcome::Canceled));
            let called_off = done && !fatal && canceled;
            assert_eq!(state == BuildState::Canceled, called_off, "{build:?}");
            let idle = all(|state| {
                matches!(
                    state,
                    JobState::Waiting | JobState::Manual | JobState::Done(Outcome::Skipped)
                )
            });
            let skipped = done && idle && !build.is_empty();
            assert_eq!(state == BuildState::Skipped, skipped, "{build:?}");
            // An error of the build as a whole matters only where there is no job to tell of.
            let with_error = build_state(&build, true);
            let expected = match build.is_empty() {
                true => BuildState::Failed,
                false => state,
            };
            assert_eq!(with_error, expected);
            assert_eq!(build_state(&build, false), state);
        }
    }
}

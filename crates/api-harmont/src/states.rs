//! The states of jobs and builds in the words of this API.

use serde::Serialize;
use slipway_domain::{FailureReason, JobState, Outcome, Phase};
use slipway_farm::{BuildDetails, DetailedJob};
use utoipa::ToSchema;

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JobWord {
    Pending,
    Scheduled,
    Assigned,
    Running,
    Passed,
    Failed,
    Skipped,
    Canceling,
    Canceled,
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "clients know it; here a job has timed out at once"
        )
    )]
    TimingOut,
    TimedOut,
}

/// The state of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BuildWord {
    Scheduled,
    Running,
    Failing,
    Passed,
    Failed,
    Canceling,
    Canceled,
}

impl JobWord {
    fn is_over(self) -> bool {
        use JobWord::{Canceled, Failed, Passed, Skipped, TimedOut};
        matches!(self, Passed | Failed | Skipped | Canceled | TimedOut)
    }
}

impl BuildWord {
    /// Whether nothing more will happen.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Passed | Self::Failed | Self::Canceled)
    }
}

/// The state of a job.
pub(crate) fn of_job(shown: &DetailedJob) -> JobWord {
    word(shown.job.state, shown.stopping)
}

/// The word for a state; `stopping` says whether the runner of a canceled job is still at it.
fn word(state: JobState, stopping: bool) -> JobWord {
    match state {
        JobState::Waiting | JobState::Manual => JobWord::Pending,
        JobState::Pending => JobWord::Scheduled,
        JobState::Running(_, Phase::Preparing) => JobWord::Assigned,
        JobState::Running(..) => JobWord::Running,
        JobState::Done(Outcome::Succeeded) => JobWord::Passed,
        JobState::Done(Outcome::Failed(FailureReason::TimedOut)) => JobWord::TimedOut,
        JobState::Done(Outcome::Failed(_)) => JobWord::Failed,
        JobState::Done(Outcome::Skipped) => JobWord::Skipped,
        JobState::Done(Outcome::Canceled) if stopping => JobWord::Canceling,
        JobState::Done(Outcome::Canceled) => JobWord::Canceled,
    }
}

/// Whether a job failed that may.
pub(crate) fn is_soft(shown: &DetailedJob) -> bool {
    shown.job.allow_failure && matches!(shown.job.state, JobState::Done(Outcome::Failed(_)))
}

/// The state of a build.
pub(crate) fn of_build(shown: &BuildDetails) -> BuildWord {
    let build = &shown.build;
    if build.handed.error.is_some() && shown.jobs.is_empty() {
        return BuildWord::Failed;
    }
    // What the farm does not wait for, such as a job that somebody may start, holds nothing up.
    let counted = |job: &DetailedJob| match of_job(job) {
        JobWord::Pending if build.state.is_done() => JobWord::Skipped,
        _ if is_soft(job) => JobWord::Passed,
        word => word,
    };
    let words: Vec<JobWord> = shown.jobs.iter().map(counted).collect();
    let canceled = build.called_off || build.state == slipway_domain::BuildState::Canceled;
    roll_up(&words, canceled)
}

/// The state of a build that follows from its jobs, and from whether it was called off.
fn roll_up(jobs: &[JobWord], canceled: bool) -> BuildWord {
    let all_over = jobs.iter().all(|job| job.is_over());
    let any = |test: &dyn Fn(&JobWord) -> bool| jobs.iter().any(test);
    let failed = any(&|job| matches!(job, JobWord::Failed | JobWord::TimedOut));
    let begun = any(&|job| !matches!(job, JobWord::Pending | JobWord::Scheduled));
    match (canceled, all_over) {
        (true, true) => BuildWord::Canceled,
        (true, false) => BuildWord::Canceling,
        (false, true) if failed => BuildWord::Failed,
        (false, true) => BuildWord::Passed,
        (false, false) if failed => BuildWord::Failing,
        (false, false) if begun => BuildWord::Running,
        (false, false) => BuildWord::Scheduled,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use slipway_domain::{Event, Lease, ReportedResult, RunnerId};

    use super::*;

    #[test]
    fn check_56_and_59_the_state_of_a_build_follows_from_its_jobs() {
        use JobWord::*;
        let table: [(&[JobWord], bool, BuildWord); 24] = [
            (&[], false, BuildWord::Passed),
            (&[Pending, Pending], false, BuildWord::Scheduled),
            (&[Scheduled, Pending], false, BuildWord::Scheduled),
            (&[Assigned, Pending], false, BuildWord::Running),
            (&[Running, Pending], false, BuildWord::Running),
            (&[Passed, Pending], false, BuildWord::Running),
            (&[Skipped, Scheduled], false, BuildWord::Running),
            (&[TimingOut], false, BuildWord::Running),
            (&[Failed, Running], false, BuildWord::Failing),
            (&[Failed, Pending], false, BuildWord::Failing),
            (&[TimedOut, Scheduled], false, BuildWord::Failing),
            (&[Passed, Passed, Skipped], false, BuildWord::Passed),
            (&[Skipped, Skipped], false, BuildWord::Passed),
            (&[Passed, Failed], false, BuildWord::Failed),
            (&[Passed, TimedOut], false, BuildWord::Failed),
            (&[Failed, Skipped], false, BuildWord::Failed),
            (&[Canceled, Failed], false, BuildWord::Failed),
            (&[Canceled, Passed], false, BuildWord::Passed),
            (&[Running, Canceled], true, BuildWord::Canceling),
            (&[Canceling, Canceled], true, BuildWord::Canceling),
            (&[Pending], true, BuildWord::Canceling),
            (&[Canceled, Canceled], true, BuildWord::Canceled),
            (&[Passed, Failed], true, BuildWord::Canceled),
            (&[Passed, Passed], true, BuildWord::Canceled),
        ];
        for (jobs, canceled, expected) in table {
            assert_eq!(roll_up(jobs, canceled), expected, "{jobs:?} {canceled}");
        }
    }

    /// The rows of the contract's table that this farm has, with its columns. It has no cache that
    /// would end a job, nobody but the runner itself finds that a job took too long, and a job that
    /// took too long has timed out at once.
    #[test]
    fn check_57_empty_cells_leave_a_job_as_it_is() {
        use JobWord::*;
        let lease = |until: i64| Lease {
            runner: RunnerId(1),
            expires_at: DateTime::from_timestamp(until, 0).unwrap_or_default(),
        };
        let now = DateTime::from_timestamp(10, 0).unwrap_or_default();
        let begun = |phase| JobState::Running(lease(10), phase);
        let failed = |reason| JobState::Done(Outcome::Failed(reason));
        let report = |result| Event::Report(RunnerId(1), result);
        let events = [
            Event::NeedsMet,
            Event::Claim(lease(20)),
            Event::Renew(lease(20), Some(Phase::Building)),
            report(ReportedResult::Succeeded),
            report(ReportedResult::Failed(FailureReason::JobFailed)),
            Event::Expire,
            Event::Cancel,
            Event::CheckLease { now },
        ];
        let over = [None; 8];
        // The end of an assigned job is taken, which the contract leaves empty: a stock runner says
        // nothing before it. A job that is to stop has its runner's time in `stopping`, so that what
        // the contract has for it is no event here.
        let (p, s, a, r) = (Some(Passed), Some(Scheduled), Some(Assigned), Some(Running));
        let (f, t, c, stop) = (
            Some(Failed),
            Some(TimedOut),
            Some(Canceled),
            Some(Canceling),
        );
        let table = [
            (
                JobState::Waiting,
                false,
                [s, None, None, None, None, t, c, None],
            ),
            (
                JobState::Pending,
                false,
                [None, a, None, None, None, t, c, None],
            ),
            (
                begun(Phase::Preparing),
                false,
                [None, None, r, p, f, t, stop, f],
            ),
            (
                begun(Phase::Building),
                false,
                [None, None, r, p, f, t, stop, f],
            ),
            (JobState::Done(Outcome::Canceled), true, over),
            (JobState::Done(Outcome::Succeeded), false, over),
            (failed(FailureReason::JobFailed), false, over),
            (failed(FailureReason::TimedOut), false, over),
            (JobState::Done(Outcome::Canceled), false, over),
            (JobState::Done(Outcome::Skipped), false, over),
        ];
        for (state, stopping, cells) in table {
            for (event, cell) in events.into_iter().zip(cells) {
                let after = state.after(event).unwrap_or(state);
                let stops = stopping || (state.is_running() && event == Event::Cancel);
                let expected = cell.unwrap_or_else(|| word(state, stopping));
                assert_eq!(word(after, stops), expected, "{state:?} on {event:?}");
                assert_eq!(after == state, cell.is_none(), "{state:?} on {event:?}");
            }
        }
    }
}

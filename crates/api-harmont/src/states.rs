//! The states of jobs and builds, as this API names them.

use serde::Serialize;
use slipway_domain::{FailureReason, JobState, Outcome, Phase};
use slipway_farm::{BuildDetails, DetailedJob};
use utoipa::ToSchema;

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JobStatus {
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
            reason = "part of the API, but in this farm jobs time out at once"
        )
    )]
    TimingOut,
    TimedOut,
}

/// The state of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BuildStatus {
    Scheduled,
    Running,
    Failing,
    Passed,
    Failed,
    Canceling,
    Canceled,
}

impl JobStatus {
    fn is_finished(self) -> bool {
        use JobStatus::{Canceled, Failed, Passed, Skipped, TimedOut};
        matches!(self, Passed | Failed | Skipped | Canceled | TimedOut)
    }
}

impl BuildStatus {
    /// Whether the build is finished.
    pub(crate) fn is_finished(self) -> bool {
        matches!(self, Self::Passed | Self::Failed | Self::Canceled)
    }
}

/// The state of a job.
pub(crate) fn of_job(job: &DetailedJob) -> JobStatus {
    status(job.job.state, job.stopping)
}

/// The name of a state. `stopping` is true while the runner of a canceled job has not confirmed the
/// cancellation.
fn status(state: JobState, stopping: bool) -> JobStatus {
    match state {
        JobState::Waiting | JobState::Manual => JobStatus::Pending,
        JobState::Pending => JobStatus::Scheduled,
        // A claimed job counts as started when its runner reports the first phase.
        JobState::Running(_, Phase::Preparing) => JobStatus::Assigned,
        JobState::Running(..) => JobStatus::Running,
        JobState::Done(Outcome::Succeeded) => JobStatus::Passed,
        JobState::Done(Outcome::Failed(FailureReason::TimedOut)) => JobStatus::TimedOut,
        JobState::Done(Outcome::Failed(_)) => JobStatus::Failed,
        JobState::Done(Outcome::Skipped) => JobStatus::Skipped,
        JobState::Done(Outcome::Canceled) if stopping => JobStatus::Canceling,
        JobState::Done(Outcome::Canceled) => JobStatus::Canceled,
    }
}

/// Whether a job failed that is allowed to fail.
pub(crate) fn has_soft_failed(shown: &DetailedJob) -> bool {
    shown.job.allow_failure && matches!(shown.job.state, JobState::Done(Outcome::Failed(_)))
}

/// The state of a build.
pub(crate) fn of_build(shown: &BuildDetails) -> BuildStatus {
    let build = &shown.build;
    // A build whose graph was rejected has no jobs, and without jobs the roll-up would be `passed`.
    if build.submission.error.is_some() && shown.jobs.is_empty() {
        return BuildStatus::Failed;
    }
    // A finished build may have jobs that never ran, such as manual ones. They count as skipped.
    let counted = |job: &DetailedJob| match of_job(job) {
        JobStatus::Pending if build.state.is_done() => JobStatus::Skipped,
        _ if has_soft_failed(job) => JobStatus::Passed,
        status => status,
    };
    let statuses: Vec<JobStatus> = shown.jobs.iter().map(counted).collect();
    let canceled = build.called_off || build.state == slipway_domain::BuildState::Canceled;
    roll_up(&statuses, canceled)
}

/// The state of a build, from the states of its jobs and whether it was canceled.
fn roll_up(jobs: &[JobStatus], canceled: bool) -> BuildStatus {
    let all_finished = jobs.iter().all(|job| job.is_finished());
    let any = |test: &dyn Fn(&JobStatus) -> bool| jobs.iter().any(test);
    let failed = any(&|job| matches!(job, JobStatus::Failed | JobStatus::TimedOut));
    let begun = any(&|job| !matches!(job, JobStatus::Pending | JobStatus::Scheduled));
    // A cancellation is permanent: a job that passes or fails afterwards does not change it.
    match (canceled, all_finished) {
        (true, true) => BuildStatus::Canceled,
        (true, false) => BuildStatus::Canceling,
        (false, true) if failed => BuildStatus::Failed,
        (false, true) => BuildStatus::Passed,
        (false, false) if failed => BuildStatus::Failing,
        (false, false) if begun => BuildStatus::Running,
        (false, false) => BuildStatus::Scheduled,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use slipway_domain::{Event, Lease, ReportedResult, RunnerId};

    use super::*;

    #[test]
    fn the_state_of_a_build_follows_from_its_jobs() {
        use JobStatus::*;
        let table: [(&[JobStatus], bool, BuildStatus); 24] = [
            (&[], false, BuildStatus::Passed),
            (&[Pending, Pending], false, BuildStatus::Scheduled),
            (&[Scheduled, Pending], false, BuildStatus::Scheduled),
            (&[Assigned, Pending], false, BuildStatus::Running),
            (&[Running, Pending], false, BuildStatus::Running),
            (&[Passed, Pending], false, BuildStatus::Running),
            (&[Skipped, Scheduled], false, BuildStatus::Running),
            (&[TimingOut], false, BuildStatus::Running),
            (&[Failed, Running], false, BuildStatus::Failing),
            (&[Failed, Pending], false, BuildStatus::Failing),
            (&[TimedOut, Scheduled], false, BuildStatus::Failing),
            (&[Passed, Passed, Skipped], false, BuildStatus::Passed),
            (&[Skipped, Skipped], false, BuildStatus::Passed),
            (&[Passed, Failed], false, BuildStatus::Failed),
            (&[Passed, TimedOut], false, BuildStatus::Failed),
            (&[Failed, Skipped], false, BuildStatus::Failed),
            (&[Canceled, Failed], false, BuildStatus::Failed),
            (&[Canceled, Passed], false, BuildStatus::Passed),
            (&[Running, Canceled], true, BuildStatus::Canceling),
            (&[Canceling, Canceled], true, BuildStatus::Canceling),
            (&[Pending], true, BuildStatus::Canceling),
            (&[Canceled, Canceled], true, BuildStatus::Canceled),
            (&[Passed, Failed], true, BuildStatus::Canceled),
            (&[Passed, Passed], true, BuildStatus::Canceled),
        ];
        for (jobs, canceled, expected) in table {
            assert_eq!(roll_up(jobs, canceled), expected, "{jobs:?} {canceled}");
        }
    }

    /// The transitions of jobs in Harmont's API, as far as this farm has them: it has no cache that
    /// could finish a job, only the runner detects a timeout, and a timed-out job is finished at
    /// once. `None` means that the event does not change the job.
    #[test]
    fn an_event_outside_the_table_leaves_a_job_unchanged() {
        use JobStatus::*;
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
        let finished = [None; 8];
        // Other than in Harmont, an assigned job can finish: a stock runner reports nothing between
        // the claim and the result. A job that is being canceled is already canceled for the farm,
        // so its later events change nothing.
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
            (JobState::Done(Outcome::Canceled), true, finished),
            (JobState::Done(Outcome::Succeeded), false, finished),
            (failed(FailureReason::JobFailed), false, finished),
            (failed(FailureReason::TimedOut), false, finished),
            (JobState::Done(Outcome::Canceled), false, finished),
            (JobState::Done(Outcome::Skipped), false, finished),
        ];
        for (state, stopping, cells) in table {
            for (event, cell) in events.into_iter().zip(cells) {
                let after = state.after(event).unwrap_or(state);
                let stops = stopping || (state.is_running() && event == Event::Cancel);
                let expected = cell.unwrap_or_else(|| status(state, stopping));
                assert_eq!(status(after, stops), expected, "{state:?} on {event:?}");
                assert_eq!(after == state, cell.is_none(), "{state:?} on {event:?}");
            }
        }
    }
}

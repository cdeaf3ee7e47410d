//! When a job may run, depending on the results of the jobs it needs.

use serde::{Deserialize, Serialize};

use crate::job::state::{Event, JobState, Outcome};
use crate::text_enum::text_enum;

text_enum!(
    /// When a job runs, depending on the results of the jobs it needs.
    #[derive(Default, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    When, "when", "on_success, on_failure, always or manual" {
        /// After all of them succeeded.
        #[default]
        OnSuccess = "on_success",
        /// After all of them finished and not all succeeded.
        OnFailure = "on_failure",
        /// After all of them finished.
        Always = "always",
        /// After all of them succeeded and a user starts it. Until then it does not keep the build
        /// open.
        Manual = "manual",
    }
);

impl When {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::OnSuccess
    }
}

/// A job that another one needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    pub state: JobState,
    /// Whether its failure counts as success for the jobs that need it.
    pub allowed_to_fail: bool,
}

impl Need {
    fn succeeded(&self) -> bool {
        match self.state {
            JobState::Done(Outcome::Succeeded) => true,
            JobState::Done(Outcome::Failed(_)) => self.allowed_to_fail,
            _ => false,
        }
    }
}

/// Returns the event for a waiting job with these needs; `None` if it has to keep waiting.
///
/// A job that needs success is skipped as soon as one of its needs did not succeed, without waiting
/// for the rest. A job that runs after a failure waits for all of them. If a needed job was canceled,
/// the job is skipped, whatever its `when` is.
pub fn next_event(when: When, needs: &[Need]) -> Option<Event> {
    let all_done = needs.iter().all(|need| need.state.is_done());
    let all_succeeded = needs.iter().all(Need::succeeded);
    let is_canceled = |need: &Need| need.state == JobState::Done(Outcome::Canceled);
    if needs.iter().any(is_canceled) {
        return Some(Event::NeedsFailed);
    }
    match when {
        When::OnSuccess | When::Manual => {
            let did_not_succeed = |need: &Need| need.state.is_done() && !need.succeeded();
            if needs.iter().any(did_not_succeed) {
                Some(Event::NeedsFailed)
            } else if !all_succeeded {
                None
            } else if when == When::Manual {
                Some(Event::NeedsMetManual)
            } else {
                Some(Event::NeedsMet)
            }
        }
        When::OnFailure if all_done && all_succeeded => Some(Event::NeedsFailed),
        When::OnFailure | When::Always => all_done.then_some(Event::NeedsMet),
    }
}

/// Explains to people why a job with these needs, given with their names, was skipped.
pub fn skip_reason(when: When, needs: &[(&str, Need)]) -> String {
    let result = |need: &Need| match need.state {
        JobState::Done(Outcome::Canceled) => Some("was canceled"),
        JobState::Done(Outcome::Skipped) => Some("was skipped"),
        JobState::Done(Outcome::Failed(_)) if !need.allowed_to_fail => Some("failed"),
        _ => None,
    };
    let mut results = needs
        .iter()
        .filter_map(|(name, need)| Some((name, result(need)?)));
    // A cancel skips the job whatever its `when` is, so it is the reason if there is one.
    let canceled = results
        .clone()
        .find(|(_, result)| *result == "was canceled");
    match (canceled, when) {
        (Some((name, result)), _) => format!("it needs job {name}, which {result}"),
        (None, When::OnFailure) => "it runs after a failure, but no job it needs failed".to_owned(),
        (None, _) => match results.next() {
            Some((name, result)) => format!("it needs job {name}, which {result}"),
            None => "the jobs it needs did not succeed".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::state::FailureReason;

    #[test]
    fn the_skip_reason_names_the_job_that_caused_it() {
        let need = |outcome| Need {
            state: JobState::Done(outcome),
            allowed_to_fail: false,
        };
        let failed = ("test", need(Outcome::Failed(FailureReason::JobFailed)));
        let good = ("lint", need(Outcome::Succeeded));
        let canceled = ("scan", need(Outcome::Canceled));
        let reason = skip_reason(When::OnSuccess, &[good, failed]);
        assert_eq!(reason, "it needs job test, which failed");
        let reason = skip_reason(When::Always, &[failed, canceled]);
        assert_eq!(reason, "it needs job scan, which was canceled");
        let reason = skip_reason(When::OnFailure, &[good]);
        assert_eq!(
            reason,
            "it runs after a failure, but no job it needs failed"
        );
    }

    #[test]
    fn the_next_event_follows_from_when_and_needs() {
        let failed = JobState::Done(Outcome::Failed(FailureReason::JobFailed));
        let skipped = JobState::Done(Outcome::Skipped);
        let succeeded = JobState::Done(Outcome::Succeeded);
        let canceled = JobState::Done(Outcome::Canceled);
        let (run, skip) = (Some(Event::NeedsMet), Some(Event::NeedsFailed));
        // The needs; then the event for on_success, on_failure, always and manual.
        let table: [(&[JobState], [Option<Event>; 4]); 8] = [
            (&[], [run, skip, run, Some(Event::NeedsMetManual)]),
            (&[JobState::Pending, succeeded], [None; 4]),
            (
                &[succeeded, succeeded],
                [run, skip, run, Some(Event::NeedsMetManual)],
            ),
            (&[failed, succeeded], [skip, run, run, skip]),
            (&[failed, JobState::Pending], [skip, None, None, skip]),
            (&[skipped], [skip, run, run, skip]),
            (&[canceled], [skip; 4]),
            (&[JobState::Manual, succeeded], [None; 4]),
        ];
        for (states, expected) in table {
            let needs: Vec<Need> = states
                .iter()
                .map(|state| Need {
                    state: *state,
                    allowed_to_fail: false,
                })
                .collect();
            let events = [When::OnSuccess, When::OnFailure, When::Always, When::Manual]
                .map(|when| next_event(when, &needs));
            assert_eq!(events, expected, "{states:?}");
        }
    }

    #[test]
    fn an_allowed_failure_counts_as_success() {
        let need = Need {
            state: JobState::Done(Outcome::Failed(FailureReason::JobFailed)),
            allowed_to_fail: true,
        };
        assert_eq!(next_event(When::OnSuccess, &[need]), Some(Event::NeedsMet));
        assert_eq!(
            next_event(When::OnFailure, &[need]),
            Some(Event::NeedsFailed)
        );
    }
}

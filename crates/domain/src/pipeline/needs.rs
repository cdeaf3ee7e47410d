//! When a job of a graph may run: what follows from the ends of the jobs that it needs.

use serde::{Deserialize, Serialize};

use crate::job::state::{Event, JobState, Outcome};
use crate::text_enum::text_enum;

text_enum!(
    /// When a job runs, by what became of the jobs that it needs.
    #[derive(Default, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    When, "time to run", "on_success, on_failure, always or manual" {
        /// Once all of them have succeeded.
        #[default]
        OnSuccess = "on_success",
        /// Once all of them are over, and not all have succeeded.
        OnFailure = "on_failure",
        /// Once all of them are over.
        Always = "always",
        /// Once all of them have succeeded and somebody starts it. Until then it holds nothing up
        /// but the jobs that need it.
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
    /// Where it is.
    pub state: JobState,
    /// Whether its failure is as good as a success to those that need it.
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

/// What happens to a waiting job that needs these; `None` as long as it goes on waiting.
///
/// A job whose needs cannot all succeed any more is skipped at once, without waiting for the rest
/// of them; one that runs after a failure waits for all. After a cancel nothing runs, whatever a
/// job says.
pub fn next_event(when: When, needs: &[Need]) -> Option<Event> {
    let all_over = needs.iter().all(|need| need.state.is_done());
    let all_succeeded = needs.iter().all(Need::succeeded);
    let is_canceled = |need: &Need| need.state == JobState::Done(Outcome::Canceled);
    if needs.iter().any(is_canceled) {
        return Some(Event::NeedsFailed);
    }
    match when {
        When::OnSuccess | When::Manual => {
            let lost = needs
                .iter()
                .any(|need| need.state.is_done() && !need.succeeded());
            match (lost, all_succeeded) {
                (true, _) => Some(Event::NeedsFailed),
                (false, false) => None,
                (false, true) if when == When::Manual => Some(Event::Offer),
                (false, true) => Some(Event::NeedsMet),
            }
        }
        When::OnFailure if all_over && all_succeeded => Some(Event::NeedsFailed),
        When::OnFailure | When::Always => all_over.then_some(Event::NeedsMet),
    }
}

/// Why a job that needs these, each with its name, is skipped: a sentence for people.
pub fn skip_reason(when: When, needs: &[(&str, Need)]) -> String {
    let fate = |need: &Need| match need.state {
        JobState::Done(Outcome::Canceled) => Some("was canceled"),
        JobState::Done(Outcome::Skipped) => Some("was skipped"),
        JobState::Done(Outcome::Failed(_)) if !need.allowed_to_fail => Some("failed"),
        _ => None,
    };
    let mut fates = needs
        .iter()
        .filter_map(|(name, need)| Some((name, fate(need)?)));
    let canceled = fates.clone().find(|(_, fate)| *fate == "was canceled");
    match (canceled, when) {
        (Some((name, fate)), _) => format!("{name}, which it needs, {fate}"),
        (None, When::OnFailure) => "nothing that it needs failed".to_owned(),
        (None, _) => match fates.next() {
            Some((name, fate)) => format!("{name}, which it needs, {fate}"),
            None => "what it needs did not succeed".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::state::FailureReason;

    #[test]
    fn who_is_skipped_is_told_because_of_whom() {
        let need = |outcome| Need {
            state: JobState::Done(outcome),
            allowed_to_fail: false,
        };
        let failed = ("test", need(Outcome::Failed(FailureReason::JobFailed)));
        let good = ("lint", need(Outcome::Succeeded));
        let canceled = ("scan", need(Outcome::Canceled));
        let told = skip_reason(When::OnSuccess, &[good, failed]);
        assert_eq!(told, "test, which it needs, failed");
        let told = skip_reason(When::Always, &[failed, canceled]);
        assert_eq!(told, "scan, which it needs, was canceled");
        let told = skip_reason(When::OnFailure, &[good]);
        assert_eq!(told, "nothing that it needs failed");
    }

    #[test]
    fn a_job_waits_runs_or_is_skipped_by_what_it_needs() {
        let failed = JobState::Done(Outcome::Failed(FailureReason::JobFailed));
        let skipped = JobState::Done(Outcome::Skipped);
        let succeeded = JobState::Done(Outcome::Succeeded);
        let canceled = JobState::Done(Outcome::Canceled);
        let (run, skip) = (Some(Event::NeedsMet), Some(Event::NeedsFailed));
        // What is needed; then what follows on success, on failure, always and by hand.
        let table: [(&[JobState], [Option<Event>; 4]); 8] = [
            (&[], [run, skip, run, Some(Event::Offer)]),
            (&[JobState::Pending, succeeded], [None; 4]),
            (
                &[succeeded, succeeded],
                [run, skip, run, Some(Event::Offer)],
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
            let told = [When::OnSuccess, When::OnFailure, When::Always, When::Manual]
                .map(|when| next_event(when, &needs));
            assert_eq!(told, expected, "{states:?}");
        }
    }

    #[test]
    fn a_failure_that_is_allowed_is_as_good_as_a_success() {
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

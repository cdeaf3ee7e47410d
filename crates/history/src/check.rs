//! The rules, and the search for events that violate them.

use std::collections::BTreeMap;
use std::fmt;

use crate::event::{Action, Answer, Event, State};

/// Two events that cannot both be true of a correct farm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Two clients were given the same job.
    TwoHolders(Event, Event),
    /// A report on an attempt was accepted although the next attempt had already been claimed.
    HeldAfterNextAttempt(Event, Event),
    /// A report was accepted from a client that does not hold the job.
    AcceptedFromStranger(Event),
    /// A report was accepted after the job was taken from its holder or had ended.
    AcceptedAfterEnd(Event, Event),
    /// A terminal state changed, or an acknowledged result or cancel was lost.
    TerminalChanged(Event, Event),
    /// A job whose claim, report or cancel was acknowledged does not exist any more.
    Lost(Event, Event),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoHolders(one, other) => {
                write!(f, "two clients hold job {}: {one:?}, {other:?}", one.job)
            }
            Self::HeldAfterNextAttempt(next, late) => write!(
                f,
                "job {} was still held after its next attempt {} was claimed: {next:?}, {late:?}",
                late.job, next.job
            ),
            Self::AcceptedFromStranger(event) => write!(
                f,
                "a report on job {} was accepted from a client that does not hold it: {event:?}",
                event.job
            ),
            Self::AcceptedAfterEnd(end, late) => write!(
                f,
                "a report on job {} was accepted after its end: {end:?}, {late:?}",
                late.job
            ),
            Self::TerminalChanged(end, later) => write!(
                f,
                "the terminal state of job {} changed: {end:?}, {later:?}",
                end.job
            ),
            Self::Lost(known, missing) => {
                write!(f, "job {} was lost: {known:?}, {missing:?}", known.job)
            }
        }
    }
}

/// Returns every violation in `events`, which may be in any order.
#[must_use]
pub fn check(events: &[Event]) -> Vec<Violation> {
    let mut jobs: BTreeMap<i64, Vec<Event>> = BTreeMap::new();
    for event in events {
        jobs.entry(event.job).or_default().push(*event);
    }
    let mut violations = Vec::new();
    for of_job in jobs.values() {
        one_holder(of_job, &mut violations);
        reports_of_holder(of_job, &mut violations);
        terminal_is_final(of_job, &mut violations);
        nothing_lost(of_job, &mut violations);
    }
    attempts_do_not_overlap(&jobs, &mut violations);
    violations
}

impl Event {
    /// Whether the farm accepted that this client works on the job.
    fn is_accepted_report(&self) -> bool {
        matches!(
            self.action,
            Action::Heartbeat(Answer::Accepted) | Action::Finish(_, Answer::Accepted)
        )
    }

    /// The terminal state that this event proves.
    fn proves(&self) -> Option<State> {
        match self.action {
            Action::Finish(state, Answer::Accepted) => Some(state),
            Action::Cancel(Answer::Accepted) => Some(State::Canceled),
            Action::Read { state, .. } => Some(state).filter(|state| state.is_terminal()),
            _ => None,
        }
    }
}

/// A job is one attempt, so it is claimed once. The same client may be given it again: it asked again
/// because the answer was lost.
fn one_holder(events: &[Event], violations: &mut Vec<Violation>) {
    let mut claims = events.iter().filter(|event| event.action == Action::Claim);
    let Some(first) = claims.next() else { return };
    violations.extend(
        claims
            .filter(|claim| claim.client != first.client)
            .map(|claim| Violation::TwoHolders(*first, *claim)),
    );
}

fn reports_of_holder(events: &[Event], violations: &mut Vec<Violation>) {
    for report in events.iter().filter(|event| event.is_accepted_report()) {
        let is_holder = events
            .iter()
            .any(|event| event.action == Action::Claim && event.client == report.client);
        if !is_holder {
            violations.push(Violation::AcceptedFromStranger(*report));
        }
        // A report of this client that was refused shows that it lost the job.
        let end = events.iter().find(|event| {
            let has_ended = event.proves().is_some()
                || event.client == report.client
                    && matches!(
                        event.action,
                        Action::Heartbeat(Answer::Refused) | Action::Finish(_, Answer::Refused)
                    );
            has_ended && event.is_before(report)
        });
        if let Some(end) = end {
            violations.push(Violation::AcceptedAfterEnd(*end, *report));
        }
    }
}

fn terminal_is_final(events: &[Event], violations: &mut Vec<Violation>) {
    let mut proofs: Vec<(Event, State)> = events
        .iter()
        .filter_map(|event| Some((*event, event.proves()?)))
        .collect();
    proofs.sort_by_key(|(event, _)| event.to);
    let Some((first, state)) = proofs.first().copied() else {
        return;
    };
    // Whatever their order is, all proofs must agree.
    let differs = proofs.iter().filter(|(_, other)| *other != state);
    violations.extend(differs.map(|(event, _)| Violation::TerminalChanged(first, *event)));
    let reopened = events.iter().filter(|event| {
        let is_open = matches!(event.action, Action::Read { state, .. } if !state.is_terminal());
        is_open && first.is_before(event)
    });
    violations.extend(reopened.map(|event| Violation::TerminalChanged(first, *event)));
}

fn nothing_lost(events: &[Event], violations: &mut Vec<Violation>) {
    for missing in events
        .iter()
        .filter(|event| event.action == Action::Missing)
    {
        let known = events
            .iter()
            .find(|event| event.action != Action::Missing && event.is_before(missing));
        if let Some(known) = known {
            violations.push(Violation::Lost(*known, *missing));
        }
    }
}

/// The next attempt of a job is claimed only after the job has ended, so nothing that its holder sends
/// after that claim may be accepted.
fn attempts_do_not_overlap(jobs: &BTreeMap<i64, Vec<Event>>, violations: &mut Vec<Violation>) {
    for next in jobs.values() {
        let earlier = next.iter().find_map(|event| match event.action {
            Action::Read { retries, .. } => retries,
            _ => None,
        });
        let Some(earlier) = earlier.and_then(|id| jobs.get(&id)) else {
            continue;
        };
        for claim in next.iter().filter(|event| event.action == Action::Claim) {
            let late = earlier
                .iter()
                .filter(|event| event.is_accepted_report() && claim.is_before(event));
            violations.extend(late.map(|late| Violation::HeldAfterNextAttempt(*claim, *late)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event of job 1.
    fn event(client: u32, from: u64, to: u64, action: Action) -> Event {
        Event {
            client,
            job: 1,
            from,
            to,
            action,
        }
    }

    fn read(from: u64, state: State) -> Event {
        let action = Action::Read {
            state,
            retries: None,
        };
        event(9, from, from + 1, action)
    }

    const BEAT: Action = Action::Heartbeat(Answer::Accepted);
    const SUCCESS: Action = Action::Finish(State::Succeeded, Answer::Accepted);
    const CANCEL: Action = Action::Cancel(Answer::Accepted);

    #[test]
    fn ordinary_job_violates_nothing() {
        let events = [
            event(1, 0, 10, Action::Claim),
            event(1, 20, 30, BEAT),
            read(22, State::Running),
            event(1, 40, 50, SUCCESS),
            event(2, 41, 60, Action::Cancel(Answer::Refused)),
            event(1, 70, 80, Action::Finish(State::Succeeded, Answer::Refused)),
            read(90, State::Succeeded),
        ];
        assert_eq!(check(&events), []);
    }

    #[test]
    fn two_claims_of_one_job_by_different_clients_are_found() {
        let first = event(1, 0, 10, Action::Claim);
        let second = event(2, 5, 20, Action::Claim);
        assert_eq!(
            check(&[first, second]),
            [Violation::TwoHolders(first, second)]
        );
        // A claim that was asked for again.
        let again = event(1, 11, 20, Action::Claim);
        assert_eq!(check(&[first, again]), []);
    }

    #[test]
    fn accepted_report_of_a_client_without_a_claim_is_found() {
        let report = event(2, 20, 30, BEAT);
        let events = [event(1, 0, 10, Action::Claim), report];
        assert_eq!(check(&events), [Violation::AcceptedFromStranger(report)]);
    }

    #[test]
    fn accepted_report_after_the_loss_of_the_job_is_found() {
        let claim = event(1, 0, 10, Action::Claim);
        for end in [
            event(1, 20, 30, Action::Heartbeat(Answer::Refused)),
            read(29, State::Failed),
            event(2, 20, 30, CANCEL),
        ] {
            let late = event(1, 40, 50, BEAT);
            assert_eq!(
                check(&[claim, end, late]),
                [Violation::AcceptedAfterEnd(end, late)]
            );
            // One that overlaps may have been carried out before.
            let overlapping = event(1, 15, 50, BEAT);
            assert_eq!(check(&[claim, end, overlapping]), []);
        }
    }

    #[test]
    fn success_after_an_acknowledged_cancel_is_found() {
        let claim = event(1, 0, 10, Action::Claim);
        let cancel = event(2, 20, 30, CANCEL);
        let success = event(1, 25, 50, SUCCESS);
        // Both were acknowledged, so one of them was lost, whichever came first.
        assert_eq!(
            check(&[claim, success, cancel]),
            [Violation::TerminalChanged(cancel, success)]
        );
        let shown = read(60, State::Succeeded);
        assert_eq!(
            check(&[claim, cancel, shown]),
            [Violation::TerminalChanged(cancel, shown)]
        );
    }

    #[test]
    fn acknowledged_result_that_is_not_shown_is_found() {
        let claim = event(1, 0, 10, Action::Claim);
        let success = event(1, 20, 30, SUCCESS);
        for state in [State::Running, State::Pending, State::Failed] {
            let shown = read(40, state);
            assert_eq!(
                check(&[claim, success, shown]),
                [Violation::TerminalChanged(success, shown)]
            );
        }
        let missing = event(9, 40, 41, Action::Missing);
        assert_eq!(
            check(&[claim, success, missing]),
            [Violation::Lost(claim, missing)]
        );
    }

    #[test]
    fn terminal_state_that_changes_is_found() {
        let (first, second) = (read(0, State::Failed), read(10, State::Canceled));
        assert_eq!(
            check(&[second, first]),
            [Violation::TerminalChanged(first, second)]
        );
    }

    #[test]
    fn unknown_answers_prove_nothing() {
        let events = [
            event(1, 0, 10, Action::Claim),
            event(1, 20, 30, Action::Finish(State::Succeeded, Answer::Unknown)),
            event(2, 40, 50, Action::Cancel(Answer::Unknown)),
            read(60, State::Failed),
        ];
        assert_eq!(check(&events), []);
    }

    #[test]
    fn accepted_report_after_the_claim_of_the_next_attempt_is_found() {
        let retry = Action::Read {
            state: State::Running,
            retries: Some(1),
        };
        let of_next = |event: Event| Event { job: 2, ..event };
        let claim = event(1, 0, 10, Action::Claim);
        let next = of_next(event(2, 20, 30, Action::Claim));
        let shown = of_next(event(9, 35, 36, retry));
        let late = event(1, 40, 50, BEAT);
        assert_eq!(
            check(&[claim, next, shown, late]),
            [Violation::HeldAfterNextAttempt(next, late)]
        );
        let early = event(1, 25, 50, BEAT);
        assert_eq!(check(&[claim, next, shown, early]), []);
    }
}

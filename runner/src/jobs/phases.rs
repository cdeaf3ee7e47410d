//! The phases that a job entered, in order, until the coordinator has them.
//!
//! A phase may end before the next request is sent. It is reported all the same, because the
//! history of a build shows every phase.

use std::collections::VecDeque;

use slipway_domain::Phase;
use slipway_domain::base_image::BaseImage;
use tokio::sync::watch;

/// A phase that a job entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseReport {
    /// The phase.
    pub phase: Phase,
    /// The base image that is pulled in it.
    pub base_image: Option<BaseImage>,
}

/// The phases of a job that the coordinator does not have yet. Clones share the state.
#[derive(Clone, Debug)]
pub struct Phases(watch::Sender<Unreported>);

#[derive(Debug)]
struct Unreported {
    current: Phase,
    reports: VecDeque<PhaseReport>,
}

impl Default for Phases {
    fn default() -> Self {
        Self(watch::Sender::new(Unreported {
            current: Phase::Preparing,
            reports: VecDeque::new(),
        }))
    }
}

impl Phases {
    /// Enters a phase. Entering the current phase again changes nothing, unless it comes with a
    /// base image.
    pub fn enter(&self, phase: Phase, base_image: Option<BaseImage>) {
        self.0.send_if_modified(|unreported| {
            let is_new = unreported.current != phase || base_image.is_some();
            if is_new {
                unreported.current = phase;
                unreported
                    .reports
                    .push_back(PhaseReport { phase, base_image });
            }
            is_new
        });
    }

    /// Waits for the oldest report that was not sent. It stays the oldest until
    /// [`mark_reported`](Self::mark_reported).
    pub async fn next_report(&self) -> PhaseReport {
        let mut unreported = self.0.subscribe();
        loop {
            if let Some(report) = unreported.borrow_and_update().reports.front() {
                return report.clone();
            }
            // It cannot fail: `self` holds the sender.
            let _ = unreported.changed().await;
        }
    }

    /// Drops the oldest report: the coordinator has it.
    pub fn mark_reported(&self) {
        self.0.send_modify(|unreported| {
            unreported.reports.pop_front();
        });
    }

    /// Waits until the coordinator has all phases.
    pub async fn all_reported(&self) {
        let mut unreported = self.0.subscribe();
        // It cannot fail: `self` holds the sender.
        let _ = unreported
            .wait_for(|unreported| unreported.reports.is_empty())
            .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_phase_is_reported_once_and_in_order() {
        let phases = Phases::default();
        phases.all_reported().await;
        let base: BaseImage = "a:1".parse().unwrap();
        phases.enter(Phase::Preparing, None);
        phases.enter(Phase::Fetching, None);
        phases.enter(Phase::Pulling, Some(base.clone()));
        phases.enter(Phase::Pulling, None);
        phases.enter(Phase::Building, None);
        for expected in [
            (Phase::Fetching, None),
            (Phase::Pulling, Some(base)),
            (Phase::Building, None),
        ] {
            // It stays until the coordinator has it.
            assert_eq!(phases.next_report().await, phases.next_report().await);
            let report = phases.next_report().await;
            assert_eq!((report.phase, report.base_image), expected);
            phases.mark_reported();
        }
        phases.all_reported().await;
    }
}

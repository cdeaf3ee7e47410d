//! Whether this host can run jobs, by what became of the last ones.
//!
//! One failure of the host may be bad luck. After two in a row, the runner claims no more jobs until
//! a self-test succeeds: it would only use up their attempts.

use std::time::Duration;

use slipway_domain::backoff::Backoff;
use tokio::sync::watch;
use tokio::time::Instant;

/// How many jobs in a row may fail through a fault of the host before the runner stops claiming.
const MAX_FAULTS: u32 = 2;
/// The shortest and the longest time until the runner tries again.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// What the end of a job shows about its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The host ran the job, whatever its result is.
    Works,
    /// The job failed through a fault of the host, with this message.
    Faulty(String),
    /// Nothing: the job was stopped, or the host had nothing to do for it.
    Unknown,
}

/// What is known about the host. Clones share it.
#[derive(Clone, Debug)]
pub struct Health(watch::Sender<State>);

#[derive(Debug)]
struct State {
    /// How many jobs in a row failed through a fault of the host.
    faults: u32,
    /// Since the last job that worked.
    backoff: Backoff,
    /// Until when the runner claims nothing.
    paused_until: Option<Instant>,
    /// Whether a poll waits for a job.
    is_polling: bool,
}

/// A poll that waits for a job, until it is dropped.
#[derive(Debug)]
pub struct OpenPoll(Health);

impl Drop for OpenPoll {
    fn drop(&mut self) {
        self.0.0.send_modify(|state| state.is_polling = false);
    }
}

impl State {
    fn pause(&mut self) {
        // No jitter: nothing else happens at this moment.
        self.paused_until = Some(Instant::now() + self.backoff.next_delay(0.0));
    }
}

impl Default for Health {
    fn default() -> Self {
        Self(watch::Sender::new(State {
            faults: 0,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            paused_until: None,
            is_polling: false,
        }))
    }
}

impl Health {
    /// Takes notice of the end of a job.
    pub fn record(&self, verdict: &Verdict) {
        self.0.send_modify(|state| match verdict {
            Verdict::Unknown => {}
            Verdict::Works => {
                state.faults = 0;
                state.backoff.reset();
            }
            Verdict::Faulty(message) => {
                state.faults += 1;
                if state.faults >= MAX_FAULTS && state.paused_until.is_none() {
                    let faults = state.faults;
                    tracing::error!(
                        "Claiming no more jobs: {faults} jobs in a row failed through a fault of \
                         this host, the last one with: {message}"
                    );
                    state.pause();
                }
            }
        });
    }

    /// Until when the runner claims nothing, if it has stopped claiming.
    pub fn paused_until(&self) -> Option<Instant> {
        self.0.borrow().paused_until
    }

    /// How many jobs in a row failed through a fault of the host.
    pub fn faults(&self) -> u32 {
        self.0.borrow().faults
    }

    /// Prolongs the pause, after a self-test failed.
    pub fn prolong(&self) {
        self.0.send_modify(State::pause);
    }

    /// Ends the pause. The next failure begins another one, unless a job works before.
    pub fn resume(&self) {
        self.0.send_modify(|state| {
            state.paused_until = None;
            state.faults = MAX_FAULTS - 1;
        });
    }

    /// Takes notice of a poll that begins.
    pub fn begin_poll(&self) -> OpenPoll {
        self.0.send_modify(|state| state.is_polling = true);
        OpenPoll(self.clone())
    }

    /// Waits until no poll is open, if the runner has stopped claiming: the poll could still get a
    /// job.
    pub async fn stopped_polling(&self) {
        let mut state = self.0.subscribe();
        // It cannot fail: `self` holds the sender.
        let _ = state
            .wait_for(|state| state.paused_until.is_none() || !state.is_polling)
            .await;
    }

    /// Waits until the runner has stopped claiming.
    pub async fn paused(&self) {
        let mut state = self.0.subscribe();
        // It cannot fail: `self` holds the sender.
        let _ = state.wait_for(|state| state.paused_until.is_some()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faulty() -> Verdict {
        Verdict::Faulty("no bridge".to_owned())
    }

    /// Whether `pause` pauses the runner for this long.
    fn pauses(health: &Health, length: Duration, pause: impl FnOnce(&Health)) -> bool {
        let before = Instant::now();
        pause(health);
        let range = before + length..=Instant::now() + length;
        health
            .paused_until()
            .is_some_and(|until| range.contains(&until))
    }

    #[tokio::test]
    async fn two_faults_in_a_row_pause_the_runner() {
        let health = Health::default();
        for verdict in [faulty(), Verdict::Works, Verdict::Unknown, faulty()] {
            health.record(&verdict);
            assert_eq!(health.paused_until(), None);
        }
        // A job that shows nothing about the host does not count as one in between.
        health.record(&Verdict::Unknown);
        assert!(pauses(&health, FIRST_PAUSE, |health| health.record(&faulty())));
        health.paused().await;
        assert!(pauses(&health, 2 * FIRST_PAUSE, Health::prolong));
    }

    #[tokio::test]
    async fn after_a_pause_one_more_fault_is_enough() {
        let health = Health::default();
        health.record(&faulty());
        health.record(&faulty());
        health.resume();
        assert_eq!(health.paused_until(), None);
        let fails = |health: &Health| health.record(&faulty());
        assert!(pauses(&health, 2 * FIRST_PAUSE, fails));
        health.resume();
        health.record(&Verdict::Works);
        health.record(&faulty());
        assert_eq!(health.paused_until(), None);
    }

    #[tokio::test]
    async fn a_report_waits_for_the_poll_that_could_still_get_a_job() {
        let health = Health::default();
        let poll = health.begin_poll();
        health.stopped_polling().await;
        health.record(&faulty());
        health.record(&faulty());
        let stopped = health.stopped_polling();
        let mut stopped = std::pin::pin!(stopped);
        assert!(futures_util::poll!(&mut stopped).is_pending());
        drop(poll);
        stopped.await;
    }
}

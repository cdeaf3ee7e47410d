//! Jumps of the time of day, which somebody sets or which a suspended host makes.
//!
//! Deadlines are stored as times of day, so that every coordinator understands them. A jump would miss
//! or delay them all at once. It is noticed because the time of day and the monotonic time no longer
//! differ by what they differed by before.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;

use crate::clock::Clock;

/// What counts as a jump. Clocks that are synchronized are corrected by less, or slowly.
const SMALLEST_JUMP: TimeDelta = TimeDelta::seconds(2);
/// For how long a jump does not count for [`ClockJumps::uncounted`]: in this time, a wrong clock may
/// be set right again.
const UNCOUNTED_FOR: Duration = Duration::from_secs(3600);

/// The jumps of the clock of one coordinator.
pub(crate) struct ClockJumps(Mutex<State>);

struct State {
    /// The time of day less the monotonic time, in milliseconds, as it was last seen.
    difference: i64,
    /// By how much the clock jumped since the last [`ClockJumps::settle`].
    pending: Option<TimeDelta>,
    /// The sum of the jumps that do not count yet, and until when, in monotonic time.
    uncounted: TimeDelta,
    uncounted_until: Duration,
}

impl ClockJumps {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self(Mutex::new(State {
            difference: difference(clock),
            pending: None,
            uncounted: TimeDelta::zero(),
            uncounted_until: Duration::ZERO,
        }))
    }

    /// By how much the clock jumped since the last [`ClockJumps::settle`]; `None` if it did not.
    pub(crate) fn pending(&self, clock: &Clock) -> Option<TimeDelta> {
        self.look(clock).pending
    }

    /// Marks the pending jump as handled, unless the clock has jumped again.
    pub(crate) fn settle(&self, handled: TimeDelta) {
        let mut state = self.lock();
        let rest = state.pending.map(|pending| pending - handled);
        state.pending = rest.filter(|rest| !rest.is_zero());
    }

    /// By how much the clock jumped lately. The time of day less this is what it would be without the
    /// jumps. It is zero when the clock has not jumped for an hour.
    pub(crate) fn uncounted(&self, clock: &Clock) -> TimeDelta {
        self.look(clock).uncounted
    }

    /// Compares the clocks.
    fn look(&self, clock: &Clock) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        let seen = difference(clock);
        let by = TimeDelta::milliseconds(seen - state.difference);
        // Taken over each time, so that slow corrections do not add up to a jump.
        state.difference = seen;
        let now = clock.monotonic();
        if by.abs() >= SMALLEST_JUMP {
            tracing::warn!(
                jump_s = by.num_seconds(),
                "The clock of this host jumped by {} s; running jobs get time to report",
                by.num_seconds()
            );
            state.pending = Some(state.pending.unwrap_or_default() + by);
            // All of them count at the same time: one that takes another one back must not count
            // alone.
            state.uncounted += by;
            state.uncounted_until = now + UNCOUNTED_FOR;
        } else if now >= state.uncounted_until {
            state.uncounted = TimeDelta::zero();
        }
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn difference(clock: &Clock) -> i64 {
    let passed = i64::try_from(clock.monotonic().as_millis()).unwrap_or(i64::MAX);
    clock.now().timestamp_millis().saturating_sub(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: i64) -> TimeDelta {
        TimeDelta::seconds(count)
    }

    /// A jump in whole seconds: the two clocks are not read at the same moment.
    fn rounded(by: TimeDelta) -> i64 {
        (by.num_milliseconds() + 500).div_euclid(1000)
    }

    #[test]
    fn passing_time_and_small_corrections_are_no_jumps() {
        let clock = Clock::manual();
        let jumps = ClockJumps::new(&clock);
        for _ in 0..10 {
            clock.advance(seconds(5000));
            clock.jump(seconds(1));
            assert_eq!(jumps.pending(&clock), None);
        }
        assert_eq!(rounded(jumps.uncounted(&clock)), 0);
    }

    #[test]
    fn a_jump_is_pending_until_it_is_handled() {
        let clock = Clock::manual();
        let jumps = ClockJumps::new(&clock);
        clock.jump(seconds(7200));
        let first = jumps.pending(&clock).unwrap();
        assert_eq!(rounded(first), 7200);
        clock.jump(seconds(-60));
        assert_eq!(jumps.pending(&clock).map(rounded), Some(7140));
        jumps.settle(first);
        assert_eq!(jumps.pending(&clock).map(rounded), Some(-60));
        let rest = jumps.pending(&clock).unwrap();
        jumps.settle(rest);
        assert_eq!(jumps.pending(&clock), None);
    }

    #[test]
    fn a_jump_counts_after_an_hour() {
        let clock = Clock::manual();
        let jumps = ClockJumps::new(&clock);
        clock.jump(seconds(-7200));
        assert_eq!(rounded(jumps.uncounted(&clock)), -7200);
        clock.advance(seconds(3500));
        assert_eq!(rounded(jumps.uncounted(&clock)), -7200);
        clock.advance(seconds(101));
        assert_eq!(rounded(jumps.uncounted(&clock)), 0);
    }

    #[test]
    fn a_jump_that_is_taken_back_never_counts() {
        let clock = Clock::manual();
        let jumps = ClockJumps::new(&clock);
        clock.jump(seconds(7200));
        assert_eq!(rounded(jumps.uncounted(&clock)), 7200);
        clock.advance(seconds(3000));
        clock.jump(seconds(-7200));
        for _ in 0..10 {
            assert_eq!(rounded(jumps.uncounted(&clock)), 0);
            clock.advance(seconds(1000));
        }
    }
}

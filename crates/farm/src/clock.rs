//! The clock: the system's, or one that a test advances.
//!
//! It shows two times. The time of day is what others see, and may jump. The monotonic time only counts
//! on, and shows how long something takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// A handle to the clock. Clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    started: Instant,
}

#[derive(Clone, Debug)]
enum Source {
    System,
    Shifted(Arc<Shift>),
}

/// By how many milliseconds a manual clock is ahead of the system's.
#[derive(Debug, Default)]
struct Shift {
    /// The time that passed additionally.
    passed: AtomicI64,
    /// How far the time of day has jumped besides.
    jumped: AtomicI64,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::of(Source::System)
    }

    /// A clock that runs like the system's and that [`Clock::advance`] moves ahead.
    pub fn manual() -> Self {
        Self::of(Source::Shifted(Arc::default()))
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            started: Instant::now(),
        }
    }

    /// The time of day in whole milliseconds, the precision of the store.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system's clock"
    )]
    pub fn now(&self) -> DateTime<Utc> {
        let now = Utc::now();
        let now = now - TimeDelta::nanoseconds(i64::from(now.timestamp_subsec_nanos() % 1_000_000));
        match &self.source {
            Source::System => now,
            Source::Shifted(shift) => {
                let ahead = shift.passed.load(Ordering::Acquire);
                let jumped = shift.jumped.load(Ordering::Acquire);
                now + TimeDelta::milliseconds(ahead + jumped)
            }
        }
    }

    /// How much time has passed since the clock was made. Jumps of the time of day do not count, and
    /// neither does a time for which the host was suspended.
    pub fn monotonic(&self) -> Duration {
        let elapsed = self.started.elapsed();
        match &self.source {
            Source::System => elapsed,
            Source::Shifted(shift) => {
                let ahead = shift.passed.load(Ordering::Acquire);
                elapsed + Duration::from_millis(u64::try_from(ahead).unwrap_or(0))
            }
        }
    }

    /// Whether it is one of [`Clock::manual`].
    pub fn is_manual(&self) -> bool {
        matches!(self.source, Source::Shifted(_))
    }

    /// Lets time pass on a manual clock. Does nothing to the system's clock.
    pub fn advance(&self, by: TimeDelta) {
        if let Source::Shifted(shift) = &self.source {
            shift
                .passed
                .fetch_add(by.num_milliseconds(), Ordering::AcqRel);
        }
    }

    /// Sets the time of day of a manual clock ahead or back, while no time passes. Does nothing to the
    /// system's clock.
    pub fn jump(&self, by: TimeDelta) {
        if let Source::Shifted(shift) = &self.source {
            shift
                .jumped
                .fetch_add(by.num_milliseconds(), Ordering::AcqRel);
        }
    }
}

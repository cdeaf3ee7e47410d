//! The clock: the system's, or one that a test advances.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// A handle to the clock. Clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Ahead of the system's clock by so many milliseconds.
    Shifted(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that runs like the system's and that [`Clock::advance`] moves ahead.
    pub fn manual() -> Self {
        Self(Source::Shifted(Arc::new(AtomicI64::new(0))))
    }

    /// The time in whole milliseconds, the precision of the store.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system's clock"
    )]
    pub fn now(&self) -> DateTime<Utc> {
        let now = Utc::now();
        let now = now - TimeDelta::nanoseconds(i64::from(now.timestamp_subsec_nanos() % 1_000_000));
        match &self.0 {
            Source::System => now,
            Source::Shifted(ahead) => now + TimeDelta::milliseconds(ahead.load(Ordering::Acquire)),
        }
    }

    /// Moves a manual clock ahead. Does nothing to the system's clock.
    pub fn advance(&self, by: TimeDelta) {
        if let Source::Shifted(ahead) = &self.0 {
            ahead.fetch_add(by.num_milliseconds(), Ordering::AcqRel);
        }
    }
}

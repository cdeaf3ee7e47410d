//! What time it is: the system's, or one that a test moves by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// A handle on the time. Clones tell the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// How far ahead of the system's clock it is, in milliseconds.
    Shifted(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that runs with the system's until [`Clock::advance`] moves it ahead.
    pub fn manual() -> Self {
        Self(Source::Shifted(Arc::new(AtomicI64::new(0))))
    }

    /// The time, to the millisecond, as the store keeps it.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the system"
    )]
    pub fn now(&self) -> DateTime<Utc> {
        let now = Utc::now();
        let now = now - TimeDelta::nanoseconds(i64::from(now.timestamp_subsec_nanos() % 1_000_000));
        match &self.0 {
            Source::System => now,
            Source::Shifted(ahead) => now + TimeDelta::milliseconds(ahead.load(Ordering::Acquire)),
        }
    }

    /// Moves a manual clock ahead; the system's stays as it is.
    pub fn advance(&self, by: TimeDelta) {
        if let Source::Shifted(ahead) = &self.0 {
            ahead.fetch_add(by.num_milliseconds(), Ordering::AcqRel);
        }
    }
}

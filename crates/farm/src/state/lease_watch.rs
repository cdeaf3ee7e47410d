//! The leases of running jobs as a coordinator sees them change, after its clock jumped.
//!
//! The times of day in the database then come from different clocks, perhaps also of other
//! coordinators. So a lease expires when it was not renewed for its length, counted in monotonic time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use slipway_domain::JobId;
use slipway_store::jobs::RunningLease;

/// The leases that are watched; none before the first jump.
#[derive(Default)]
pub(crate) struct LeaseWatch(Mutex<Option<Watch>>);

struct Watch {
    /// No lease expires before this monotonic time.
    grace_until: Duration,
    /// What was seen of each lease: when it expires, and since when it is so, in monotonic time.
    seen: HashMap<JobId, (DateTime<Utc>, Duration)>,
}

impl LeaseWatch {
    /// Begins to watch, or begins again.
    pub(crate) fn begin(&self, grace_until: Duration) {
        let watch = Watch {
            grace_until,
            seen: HashMap::new(),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
    }

    /// Whether the leases are watched.
    pub(crate) fn is_on(&self) -> bool {
        let watch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watch.is_some()
    }

    /// The leases among those of all running jobs that have expired at the monotonic time `now`.
    pub(crate) fn expired(&self, running: &[RunningLease], now: Duration) -> Vec<RunningLease> {
        let mut watch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(watch) = watch.as_mut() else {
            return Vec::new();
        };
        let seen = running.iter().map(|lease| {
            let before = watch.seen.get(&lease.job);
            let unchanged = before.filter(|(expires_at, _)| *expires_at == lease.expires_at);
            let since = unchanged.map_or(now, |(_, since)| *since);
            (lease.job, (lease.expires_at, since))
        });
        // Jobs that no longer run are forgotten.
        watch.seen = seen.collect();
        if now < watch.grace_until {
            return Vec::new();
        }
        let has_expired = |lease: &&RunningLease| {
            let since = watch.seen.get(&lease.job).map(|(_, since)| *since);
            since.is_some_and(|since| now.saturating_sub(since) >= lease.length)
        };
        running.iter().filter(has_expired).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(expires_at_s: i64) -> RunningLease {
        RunningLease {
            job: JobId(1),
            expires_at: DateTime::from_timestamp(expires_at_s, 0).unwrap(),
            length: Duration::from_secs(15),
        }
    }

    #[test]
    fn a_lease_expires_when_it_was_not_renewed_for_its_length() {
        let watch = LeaseWatch::default();
        assert!(!watch.is_on());
        watch.begin(Duration::from_secs(30));
        assert!(watch.is_on());
        let at = Duration::from_secs;
        let expired = |seconds: u64, expires_at: i64| {
            !watch.expired(&[lease(expires_at)], at(seconds)).is_empty()
        };
        // It is in its grace period, then renewed, whatever the time of day in it is.
        assert!(!expired(0, 100));
        assert!(!expired(29, 100));
        assert!(!expired(31, 50));
        assert!(!expired(45, 50));
        assert!(expired(46, 50));
        // A job that ended meanwhile is a new one if it runs again.
        assert!(watch.expired(&[], at(47)).is_empty());
        assert!(!expired(48, 50));
    }
}

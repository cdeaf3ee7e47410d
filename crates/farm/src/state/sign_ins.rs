//! How often somebody may try passwords: for each account, and from each address.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use slipway_domain::UserId;
use tokio::time::Instant;

use crate::state::rates::{KeyedRates, Rate};

/// Attempts for one account. Somebody who knows the password seldom needs more than a few.
const PER_ACCOUNT: Rate = Rate {
    per_second: 0.2,
    burst: 10,
};
/// Attempts from one address, which many people may share.
const PER_ADDRESS: Rate = Rate {
    per_second: 1.0,
    burst: 30,
};

/// The rates of sign-ins.
pub(crate) struct SignInRates {
    accounts: Option<KeyedRates>,
    addresses: Option<KeyedRates>,
    refused: AtomicU64,
}

impl Default for SignInRates {
    fn default() -> Self {
        Self {
            accounts: KeyedRates::new(PER_ACCOUNT),
            addresses: KeyedRates::new(PER_ADDRESS),
            refused: AtomicU64::new(0),
        }
    }
}

impl SignInRates {
    /// Counts an attempt for the account with this name, which may not exist.
    ///
    /// # Errors
    /// The time to wait, if there were too many attempts.
    pub(crate) fn attempt(&self, login: &str, from: IpAddr) -> Result<(), Duration> {
        let now = Instant::now();
        self.take(&self.addresses, from, now)?;
        // Names are compared as the farm compares them.
        self.take(&self.accounts, login.trim().to_ascii_lowercase(), now)
    }

    /// Counts an attempt to prove that the present password is known.
    ///
    /// # Errors
    /// As [`SignInRates::attempt`].
    pub(crate) fn attempt_of_user(&self, user: UserId) -> Result<(), Duration> {
        self.take(&self.accounts, user.0, Instant::now())
    }

    /// How many attempts were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn take(
        &self,
        rates: &Option<KeyedRates>,
        key: impl std::hash::Hash,
        now: Instant,
    ) -> Result<(), Duration> {
        let taken = rates.as_ref().map_or(Ok(()), |rates| rates.take(key, now));
        if taken.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }
}

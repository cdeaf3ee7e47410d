//! What the managers of runners reported last, so that a poll need not read it to see that nothing is new.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use slipway_domain::RunnerId;
use slipway_store::runners::About;

/// How many managers are remembered. One that is not costs a read.
const MAX_MANAGERS: usize = 50_000;

/// A recorded contact with a manager.
#[derive(Clone, Debug)]
pub(crate) struct Contact {
    pub(crate) about: About,
    pub(crate) at: DateTime<Utc>,
}

/// The last recorded contact with each manager, by runner and system id.
#[derive(Debug, Default)]
pub(crate) struct Contacts(Mutex<HashMap<(RunnerId, String), Contact>>);

impl Contacts {
    pub(crate) fn last(&self, runner: RunnerId, system_id: &str) -> Option<Contact> {
        let key = (runner, system_id.to_owned());
        self.lock().get(&key).cloned()
    }

    pub(crate) fn record(&self, runner: RunnerId, system_id: String, contact: Contact) {
        let mut contacts = self.lock();
        if contacts.len() >= MAX_MANAGERS {
            contacts.clear();
        }
        contacts.insert((runner, system_id), contact);
    }

    /// Forgets a manager that was deleted.
    pub(crate) fn forget(&self, runner: RunnerId, system_id: &str) {
        self.lock().remove(&(runner, system_id.to_owned()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(RunnerId, String), Contact>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

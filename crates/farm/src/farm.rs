//! The farm: what it is made of, and what all use cases share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::{DateTime, Utc};
use slipway_blobs::Blobs;
use slipway_git::Git;
use slipway_store::{Conn, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::chance::Chance;
use crate::clock::Clock;
use crate::crypto::seal::SealKey;
use crate::error::FarmError;
use crate::settings::Settings;
use crate::state::commit_lookups::Learning;
use crate::state::definition_cache::Brought;
use crate::state::hashing::Hashing;
use crate::state::live_hub::Rooms;
use crate::state::pace::Pace;
use crate::state::wakeups::Wakeups;

/// The farm. Clones share it.
#[derive(Clone)]
pub struct Farm {
    pub(crate) inner: Arc<Inner>,
}

/// What all clones of a farm share.
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    pub(crate) git: Git,
    pub(crate) clock: Clock,
    pub(crate) chance: Chance,
    pub(crate) seal: SealKey,
    pub(crate) settings: Settings,
    pub(crate) wakeups: Wakeups,
    /// The jobs that somebody follows here.
    pub(crate) rooms: Rooms,
    /// How fast those who follow are told.
    pub(crate) pace: Pace,
    /// Where what nobody waits for goes on.
    pub(crate) runtime: tokio::runtime::Handle,
    /// Lets few passwords be hashed at once.
    pub(crate) hashing: Hashing,
    pub(crate) learning: Learning,
    pub(crate) brought: Brought,
    /// Tells this start of the farm from every other one.
    pub(crate) start: String,
    /// Ends held requests when the coordinator stops.
    pub(crate) stopping: CancellationToken,
    /// Whether the database could not be reached when leases were last looked at.
    pub(crate) database_was_away: AtomicBool,
}

/// What a farm is made of.
pub struct Parts {
    /// Where rows are.
    pub store: Store,
    /// Where bytes are.
    pub blobs: Blobs,
    /// The git command line.
    pub git: Git,
    /// What time it is.
    pub clock: Clock,
    /// Where random bytes come from.
    pub chance: Chance,
    /// What secrets are sealed with.
    pub seal: SealKey,
    /// What the operator decided.
    pub settings: Settings,
}

impl Farm {
    /// Opens the farm: every running job has time to be heard of.
    ///
    /// # Errors
    /// `Unavailable` when the database is.
    pub async fn open(parts: Parts) -> Result<Self, FarmError> {
        let start: [u8; 8] = parts.chance.bytes();
        let pace = Pace::new(parts.settings.follow_bytes_per_s);
        let farm = Self {
            inner: Arc::new(Inner {
                store: parts.store,
                blobs: parts.blobs,
                git: parts.git,
                clock: parts.clock,
                chance: parts.chance,
                seal: parts.seal,
                settings: parts.settings,
                wakeups: Wakeups::default(),
                rooms: Rooms::default(),
                pace,
                runtime: tokio::runtime::Handle::current(),
                hashing: Hashing::default(),
                learning: Learning::default(),
                brought: Brought::default(),
                start: hex::encode(start),
                stopping: CancellationToken::new(),
                database_was_away: AtomicBool::new(false),
            }),
        };
        farm.grant_grace().await?;
        farm.ensure_log_key().await?;
        Ok(farm)
    }

    /// What the operator decided.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// How many polls wait for a job.
    pub fn parked_polls(&self) -> usize {
        self.inner.wakeups.parked()
    }

    /// Answers every held request at once, and holds none from now on.
    pub fn stop(&self) {
        self.inner.stopping.cancel();
    }

    /// Whether it was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.inner.stopping.is_cancelled()
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// `Unavailable` when it does not.
    pub async fn check(&self) -> Result<(), FarmError> {
        self.read(slipway_store::queue::pending_queues).await?;
        Ok(())
    }

    /// A fresh name for a request, for those who ask about it later.
    pub fn request_id(&self) -> String {
        hex::encode(self.inner.chance.bytes::<16>())
    }

    /// Runs queries on a connection that only reads.
    ///
    /// Where the exact [`StoreError`] matters, callers go to the store themselves.
    pub(crate) async fn read<T, F>(&self, queries: F) -> Result<T, FarmError>
    where
        F: FnOnce(&mut Conn) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        Ok(self.inner.store.read(queries).await?)
    }

    /// Runs queries in a transaction and returns after its commit is durable. The closure may run
    /// more than once, so it does nothing but SQL and returns what is to be done after the commit.
    pub(crate) async fn write<T, F>(&self, queries: F) -> Result<T, FarmError>
    where
        F: FnMut(&mut Conn) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        Ok(self.inner.store.write(queries).await?)
    }

    /// The current time, which tests can advance.
    pub fn now(&self) -> DateTime<Utc> {
        self.inner.clock.now()
    }

    /// Deletes blobs that nothing refers to. One that cannot be deleted now costs space, not truth.
    pub(crate) async fn drop_blobs(&self, keys: impl IntoIterator<Item = String>) {
        for key in keys {
            if let Err(error) = self.inner.blobs.delete(&key).await {
                tracing::warn!(error = %error, key, "An unused blob could not be deleted");
            }
        }
    }

    /// Deletes the blobs of a write that was refused. When nobody knows whether the write was kept,
    /// they stay: a row may refer to them, and a runner would be told that they are held.
    pub(crate) async fn drop_refused(
        &self,
        error: &StoreError,
        keys: impl IntoIterator<Item = String>,
    ) {
        if !error.outcome_is_unknown() {
            self.drop_blobs(keys).await;
        }
    }
}

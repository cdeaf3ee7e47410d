//! The farm: its parts, and what all use cases share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::{DateTime, Utc};
use slipway_blobs::Blobs;
use slipway_domain::{ProjectId, UserId};
use slipway_git::Git;
use slipway_store::{Conn, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::chance::Chance;
use crate::clock::Clock;
use crate::crypto::seal::SealKey;
use crate::error::FarmError;
use crate::fail_points::{FailPoint, FailPoints};
use crate::queue::metrics::QueueNumbers;
use crate::settings::Settings;
use crate::state::cached::Cached;
use crate::state::clock_jumps::ClockJumps;
use crate::state::commit_lookups::CommitLookups;
use crate::state::contacts::Contacts;
use crate::state::definition_cache::DefinitionCache;
use crate::state::definition_reads::DefinitionReads;
use crate::state::disk_space::DiskSpace;
use crate::state::hashing::HashingPermits;
use crate::state::lease_watch::LeaseWatch;
use crate::state::live_traces::LiveTraces;
use crate::state::pace::Pace;
use crate::state::progress::Progress;
use crate::state::sign_ins::SignInRates;
use crate::state::stored_bytes::StoredBytes;
use crate::state::wakeups::Wakeups;

/// A handle to the farm, on which all use cases are methods. Clones share the same farm.
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
    pub(crate) fail_points: FailPoints,
    pub(crate) seal: SealKey,
    pub(crate) settings: Settings,
    pub(crate) wakeups: Wakeups,
    pub(crate) live_traces: LiveTraces,
    /// The pace at which followers of live traces are served.
    pub(crate) follower_pace: Pace,
    /// Runtime for background work.
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) hashing_permits: HashingPermits,
    pub(crate) sign_ins: SignInRates,
    pub(crate) project_bytes: StoredBytes<ProjectId>,
    pub(crate) upload_bytes: StoredBytes<UserId>,
    /// Whether the database answers, and the numbers of the queue; `None` if it does not answer.
    pub(crate) ready: Cached<bool>,
    pub(crate) queue_numbers: Cached<Option<QueueNumbers>>,
    pub(crate) contacts: Contacts,
    pub(crate) commit_lookups: CommitLookups,
    pub(crate) definition_cache: DefinitionCache,
    pub(crate) definition_reads: DefinitionReads,
    /// A random id of this start, so that queue values of earlier starts are invalid.
    pub(crate) start: String,
    /// Ends held requests when the coordinator stops.
    pub(crate) stopping: CancellationToken,
    pub(crate) disk_space: DiskSpace,
    pub(crate) clock_jumps: ClockJumps,
    pub(crate) lease_watch: LeaseWatch,
    /// The last job whose orphans were deleted.
    pub(crate) orphans_deleted: Progress,
    /// Whether the database was unreachable when leases were last checked.
    pub(crate) database_was_away: AtomicBool,
}

/// The parts of a farm.
pub struct Parts {
    pub store: Store,
    /// Traces, artifacts and uploads.
    pub blobs: Blobs,
    pub git: Git,
    pub clock: Clock,
    /// The source of random bytes.
    pub chance: Chance,
    /// Where a test interrupts the farm; the default in programs.
    pub fail_points: FailPoints,
    /// The key to seal secrets with.
    pub seal: SealKey,
    pub settings: Settings,
}

impl Farm {
    /// Opens the farm. Running jobs get a grace period, because nobody could report while the
    /// coordinator was down.
    ///
    /// # Errors
    /// `Unavailable` when the database is unreachable.
    pub async fn open(parts: Parts) -> Result<Self, FarmError> {
        // Queue values are only valid for this start: the generation counter begins again at zero.
        let start: [u8; 8] = parts.chance.bytes();
        let disks = parts.settings.disks.clone();
        let disk_space = DiskSpace::new(disks, parts.settings.min_free_bytes);
        let clock_jumps = ClockJumps::new(&parts.clock);
        let follower_pace = Pace::new(parts.settings.follow_bytes_per_s);
        let farm = Self {
            inner: Arc::new(Inner {
                store: parts.store,
                blobs: parts.blobs,
                git: parts.git,
                clock: parts.clock,
                chance: parts.chance,
                fail_points: parts.fail_points,
                seal: parts.seal,
                settings: parts.settings,
                wakeups: Wakeups::default(),
                live_traces: LiveTraces::default(),
                follower_pace,
                runtime: tokio::runtime::Handle::current(),
                hashing_permits: HashingPermits::default(),
                sign_ins: SignInRates::default(),
                project_bytes: StoredBytes::default(),
                upload_bytes: StoredBytes::default(),
                ready: Cached::new(|answers| !answers),
                queue_numbers: Cached::new(Option::is_none),
                contacts: Contacts::default(),
                commit_lookups: CommitLookups::default(),
                definition_cache: DefinitionCache::default(),
                definition_reads: DefinitionReads::default(),
                start: hex::encode(start),
                stopping: CancellationToken::new(),
                disk_space,
                clock_jumps,
                lease_watch: LeaseWatch::default(),
                orphans_deleted: Progress::default(),
                database_was_away: AtomicBool::new(false),
            }),
        };
        // Before the first duty runs: it would end jobs whose runners could not report while
        // nothing listened.
        farm.grant_grace().await?;
        // Created now, so that two requests for log tokens cannot race for the first key.
        farm.ensure_log_key().await?;
        Ok(farm)
    }

    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// How many database queries wait or run.
    pub fn queries_in_progress(&self) -> usize {
        self.inner.store.queries_in_progress()
    }

    /// How many polls wait for a job at this coordinator.
    pub fn parked_polls(&self) -> usize {
        self.inner.wakeups.parked()
    }

    /// Stops the farm: answers all held requests now, and holds none any more.
    pub fn stop(&self) {
        self.inner.stopping.cancel();
    }

    /// Whether [`Farm::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.inner.stopping.is_cancelled()
    }

    /// Checks that the database answers.
    ///
    /// # Errors
    /// `Unavailable` when it does not answer.
    pub async fn check(&self) -> Result<(), FarmError> {
        // A table that every claim depends on shows more than an open connection.
        let farm = self.clone();
        let answers = async move {
            let read = farm.read(slipway_store::queue::running_total).await;
            read.inspect_err(FarmError::log).is_ok()
        };
        if self.inner.ready.get(|| answers).await {
            Ok(())
        } else {
            Err(FarmError::Unavailable(
                "the database does not answer".to_owned(),
            ))
        }
    }

    /// A random id for a request, by which it can be found in the logs.
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
        Ok(self.write_exactly(queries).await?)
    }

    /// The current time, which tests can advance.
    pub fn now(&self) -> DateTime<Utc> {
        self.inner.clock.now()
    }

    /// The time by which sign-ins, links and stored files expire: [`Farm::now`] without the jumps of
    /// the last hour. A wrong clock that is set right within that time expires nothing too early.
    pub(crate) fn expiry_now(&self) -> DateTime<Utc> {
        self.now() - self.inner.clock_jumps.uncounted(&self.inner.clock)
    }

    /// Deletes blobs that no row refers to. A blob that cannot be deleted costs only space.
    pub(crate) async fn delete_blobs(&self, keys: impl IntoIterator<Item = String>) {
        for key in keys {
            if self.inner.fail_points.pass(FailPoint::BlobUnused).is_err() {
                continue;
            }
            // The rows are gone already, so the caller has nothing to undo.
            if let Err(error) = self.inner.blobs.delete(&key).await {
                tracing::warn!(error = %error, key, "Could not delete an unused blob");
            }
        }
    }

    /// Deletes the blobs of a write that failed. When it is unknown whether the write was committed,
    /// they stay: a row may refer to them.
    pub(crate) async fn delete_blobs_of_failed_write(
        &self,
        error: &StoreError,
        keys: impl IntoIterator<Item = String>,
    ) {
        // After a lost connection the commit may have succeeded, and its row would point to
        // nothing.
        if !error.outcome_is_unknown() {
            self.delete_blobs(keys).await;
        }
    }
}

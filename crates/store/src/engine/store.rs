//! The handle through which callers reach the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::broadcast;

use crate::engine::connection::{Conn, DatabaseUrl, Purpose};
use crate::engine::inner::{StoreInner, blocking};
use crate::engine::migrations;
use crate::engine::signals::{Signal, Signals};
use crate::error::StoreError;
use crate::queue::claims::ClaimQueue;
use crate::queue::types::{ClaimRequest, Claimed};

/// The farm's database. Clones share the same connections.
#[derive(Clone)]
pub struct Store {
    inner: Arc<StoreInner>,
    claims: ClaimQueue,
    signals: Signals,
    queries: Arc<AtomicUsize>,
}

/// Counts a query until it is dropped.
struct Query(Arc<AtomicUsize>);

impl Drop for Query {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Store {
    /// Opens the database and applies pending migrations.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be reached, opened or migrated.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let opening = url.clone();
        let inner = blocking(move || StoreInner::open(&opening)).await?;
        let inner = Arc::new(inner);
        let signals = Signals::start(url).await?;
        // The task holds a weak reference, so that dropping the last store also ends the task.
        let claims = ClaimQueue::start(Arc::downgrade(&inner));
        Ok(Self {
            inner,
            claims,
            signals,
            queries: Arc::default(),
        })
    }

    /// Applies pending migrations and returns how many there were.
    ///
    /// # Errors
    /// Same as [`Store::open`].
    pub async fn migrate(url: &DatabaseUrl) -> Result<usize, StoreError> {
        let url = url.clone();
        blocking(move || migrations::apply(&mut url.connect(Purpose::Write)?)).await
    }

    /// Runs `work` on a connection that only reads.
    ///
    /// # Errors
    /// The error of `work`, or `Unavailable`.
    pub async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: FnOnce(&mut Conn) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let query = self.query();
        // Counted until it has run, also when the caller no longer waits for it.
        let reader = Arc::clone(&inner);
        let reading = blocking(move || {
            let _query = query;
            work(&mut *reader.connection()?)
        });
        inner.wait_for(reading).await
    }

    /// Runs `work` in a transaction and returns after its commit is durable.
    ///
    /// `work` may run more than once: if it conflicts with another writer, it is rolled back and
    /// run again.
    ///
    /// # Errors
    /// The error of `work`, whose changes are rolled back; or `Unavailable`.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: FnMut(&mut Conn) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let _query = self.query();
        StoreInner::write(&self.inner, work).await
    }

    /// How many reads and writes wait or run.
    pub fn queries_in_progress(&self) -> usize {
        self.queries.load(Ordering::Relaxed)
    }

    fn query(&self) -> Query {
        self.queries.fetch_add(1, Ordering::Relaxed);
        Query(Arc::clone(&self.queries))
    }

    /// Claims a pending job that the runner of `request` can run, if there is one.
    ///
    /// Requests that wait for the database share one commit.
    ///
    /// # Errors
    /// `Unavailable` if the database is.
    pub async fn claim(&self, request: ClaimRequest) -> Result<Option<Claimed>, StoreError> {
        self.inner.wait_for(self.claims.claim(request)).await
    }

    /// Sends a signal to the other coordinators on this database.
    pub fn announce(&self, signal: Signal) {
        self.signals.send(signal);
    }

    /// Subscribes to the signals of other coordinators on this database. The signals of this
    /// coordinator are not included.
    pub fn signals(&self) -> broadcast::Receiver<Signal> {
        self.signals.subscribe()
    }
}

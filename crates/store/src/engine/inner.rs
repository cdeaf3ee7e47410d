//! The connections of a store: a pool for reads, and for writes the writer thread (SQLite) or the
//! same pool (PostgreSQL).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use diesel::Connection;
use diesel::r2d2::{Builder, Pool};
use tokio::sync::oneshot;

use crate::engine::connection::{Conn, ConnectionFactory, DatabaseUrl, Purpose};
use crate::engine::migrations;
use crate::engine::network::{ANSWER_WITHIN, CONNECT_WITHIN};
use crate::engine::writer::{Ran, Work, Writer};
use crate::error::StoreError;

/// How often a write that conflicts with another one is run before it fails.
const MAX_TRIES: u32 = 10;

/// The connections, without the background tasks, which hold only a weak reference to them.
pub(crate) struct StoreInner {
    url: DatabaseUrl,
    readers: RwLock<Readers>,
    writes: Writes,
}

/// The pool in use.
struct Readers {
    pool: Pool<ConnectionFactory>,
    since: Instant,
}

/// For how long a pool is used at least before another one replaces it.
const POOL_USED_FOR: Duration = Duration::from_secs(20);

enum Writes {
    /// SQLite has one writer.
    Grouped(Writer),
    /// PostgreSQL has many.
    Pooled,
}

impl StoreInner {
    pub(crate) fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let mut conn = url.connect(Purpose::Write)?;
        let applied = migrations::apply(&mut conn)?;
        if applied > 0 {
            tracing::info!(applied, "Applied {applied} database migrations");
        }
        let writes = match url {
            DatabaseUrl::Sqlite(_) => {
                let writer = Writer::start(conn)
                    .map_err(|error| StoreError::Unavailable(error.to_string()))?;
                Writes::Grouped(writer)
            }
            DatabaseUrl::Postgres(_) => Writes::Pooled,
        };
        let pool = pool_of(url)
            .build(factory_of(url))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self {
            url: url.clone(),
            readers: RwLock::new(Readers {
                pool,
                since: Instant::now(),
            }),
            writes,
        })
    }

    /// Waits for work that runs elsewhere, but not for a PostgreSQL that does not answer.
    ///
    /// # Errors
    /// The error of the work, or `Unavailable`; then the work may still be done.
    pub(crate) async fn wait_for<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if let DatabaseUrl::Sqlite(_) = &self.url {
            return work.await;
        }
        match tokio::time::timeout(ANSWER_WITHIN, work).await {
            Ok(done) => done,
            Err(_) => {
                self.replace_pool();
                let limit = ANSWER_WITHIN.as_secs();
                Err(StoreError::Unavailable(format!(
                    "the database did not answer within {limit} s"
                )))
            }
        }
    }

    /// Replaces the pool, whose connections may all wait for answers that never come. They are closed
    /// when they fail.
    fn replace_pool(&self) {
        let mut readers = self.readers.write().unwrap_or_else(PoisonError::into_inner);
        if readers.since.elapsed() < POOL_USED_FOR {
            return;
        }
        tracing::warn!("The database does not answer; connecting to it again");
        *readers = Readers {
            pool: pool_of(&self.url).build_unchecked(factory_of(&self.url)),
            since: Instant::now(),
        };
    }

    pub(crate) fn connection(
        &self,
    ) -> Result<diesel::r2d2::PooledConnection<ConnectionFactory>, StoreError> {
        let pool = {
            let readers = self.readers.read().unwrap_or_else(PoisonError::into_inner);
            readers.pool.clone()
        };
        pool.get()
            .map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    /// [`Store::write`](crate::Store::write), for callers that have only the connections.
    pub(crate) async fn write<T, F>(inner: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        F: FnMut(&mut Conn) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        match &inner.writes {
            Writes::Grouped(writer) => {
                // The writer thread answers through the channel after the commit of the whole group.
                let (sender, receiver) = oneshot::channel();
                writer.submit(Box::new(Task {
                    work,
                    result: None,
                    sender,
                }))?;
                receiver.await.map_err(|_| {
                    StoreError::Unavailable(
                        "the database writer stopped before it ran the write".to_owned(),
                    )
                })?
            }
            Writes::Pooled => {
                let waited_for = Arc::new(AtomicBool::new(true));
                let (writer, is_waited_for) = (Arc::clone(inner), Arc::clone(&waited_for));
                let written = blocking(move || writer.write_pooled(work, &is_waited_for));
                let written = inner.wait_for(written).await;
                // If the write still runs, its caller has got an error.
                waited_for.store(false, Ordering::Release);
                written
            }
        }
    }

    fn write_pooled<T>(
        &self,
        mut work: impl FnMut(&mut Conn) -> Result<T, StoreError>,
        is_waited_for: &AtomicBool,
    ) -> Result<T, StoreError> {
        let mut work = |conn: &mut Conn| {
            let done = work(conn)?;
            if !is_waited_for.load(Ordering::Acquire) {
                let why = "the caller no longer waits for the write".to_owned();
                return Err(StoreError::Unavailable(why));
            }
            Ok(done)
        };
        let mut pooled = self.connection()?;
        let conn: &mut Conn = &mut pooled;
        let mut tries = 0;
        loop {
            tries += 1;
            match conn.transaction::<_, StoreError, _>(&mut work) {
                // A serialization failure or deadlock means that the other transaction won.
                Err(error) if error.is_transient() && tries < MAX_TRIES => {
                    tracing::debug!(tries, error = %error, "A write conflicted with another one; running it again");
                }
                result => return result,
            }
        }
    }
}

/// The four readers of SQLite never write. On PostgreSQL reads and writes share one pool.
fn factory_of(url: &DatabaseUrl) -> ConnectionFactory {
    let purpose = match url {
        DatabaseUrl::Sqlite(_) => Purpose::Read,
        DatabaseUrl::Postgres(_) => Purpose::Write,
    };
    ConnectionFactory {
        url: url.clone(),
        purpose,
    }
}

fn pool_of(url: &DatabaseUrl) -> Builder<ConnectionFactory> {
    let size = match url {
        DatabaseUrl::Sqlite(_) => 4,
        DatabaseUrl::Postgres(_) => 16,
    };
    Pool::builder()
        .max_size(size)
        .min_idle(Some(1))
        // After a server restart, pooled connections are dead, and only a query reveals that.
        .test_on_check_out(matches!(url, DatabaseUrl::Postgres(_)))
        .connection_timeout(CONNECT_WITHIN)
}

/// One closure on its way through the writer thread.
struct Task<T, F> {
    work: F,
    result: Option<Result<T, StoreError>>,
    sender: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Work for Task<T, F>
where
    F: FnMut(&mut Conn) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, conn: &mut Conn) -> Ran {
        let result = (self.work)(conn);
        let ran = match &result {
            Ok(_) => Ran::Done,
            Err(StoreError::DiskFull(why)) => Ran::DiskFull(why.clone()),
            Err(_) => Ran::Failed,
        };
        self.result = Some(result);
        ran
    }

    fn answer(self: Box<Self>, commit_failure: Option<&StoreError>) {
        // A closure that failed was rolled back by itself, so its own error counts, not the commit's.
        let result = match (self.result, commit_failure) {
            (Some(Err(error)), _) => Err(error),
            (_, Some(StoreError::DiskFull(why))) => Err(StoreError::DiskFull(why.clone())),
            (_, Some(failure)) => Err(StoreError::Unavailable(failure.to_string())),
            (Some(Ok(value)), None) => Ok(value),
            (None, None) => Err(StoreError::Unavailable("the write panicked".to_owned())),
        };
        // The caller may have stopped waiting. Its write is committed all the same.
        let _ = self.sender.send(result);
    }
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StoreError::Unavailable(format!("the database task failed: {error}")))?
}

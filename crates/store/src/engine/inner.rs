//! The connections of a store: a pool for reads, and for writes the writer thread (SQLite) or the
//! same pool (PostgreSQL).

use std::sync::Arc;

use diesel::Connection;
use diesel::r2d2::Pool;
use tokio::sync::oneshot;

use crate::engine::connection::{Conn, ConnectionFactory, DatabaseUrl, Purpose};
use crate::engine::migrations;
use crate::engine::writer::{Ran, Work, Writer};
use crate::error::StoreError;

/// How often a write that conflicts with another one is run before it fails.
const MAX_TRIES: u32 = 10;

/// The connections, without the background tasks, which hold only a weak reference to them.
pub(crate) struct StoreInner {
    readers: Pool<ConnectionFactory>,
    writes: Writes,
}

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
        // The four readers of SQLite never write. On PostgreSQL reads and writes share one pool.
        let (writes, purpose, size) = match url {
            DatabaseUrl::Sqlite(_) => {
                let writer = Writer::start(conn)
                    .map_err(|error| StoreError::Unavailable(error.to_string()))?;
                (Writes::Grouped(writer), Purpose::Read, 4)
            }
            DatabaseUrl::Postgres(_) => (Writes::Pooled, Purpose::Write, 16),
        };
        let factory = ConnectionFactory {
            url: url.clone(),
            purpose,
        };
        let readers = Pool::builder()
            .max_size(size)
            .min_idle(Some(1))
            // After a server restart, pooled connections are dead, and only a query reveals that.
            .test_on_check_out(matches!(url, DatabaseUrl::Postgres(_)))
            .connection_timeout(std::time::Duration::from_secs(5))
            .build(factory)
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { readers, writes })
    }

    pub(crate) fn connection(
        &self,
    ) -> Result<diesel::r2d2::PooledConnection<ConnectionFactory>, StoreError> {
        self.readers
            .get()
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
                let inner = Arc::clone(inner);
                blocking(move || inner.write_pooled(work)).await
            }
        }
    }

    fn write_pooled<T>(
        &self,
        mut work: impl FnMut(&mut Conn) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
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

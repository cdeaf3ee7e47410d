//! One connection type over both back ends, and how each is opened.

use std::path::PathBuf;
use std::str::FromStr;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, RunQueryDsl, SqliteConnection};

use crate::engine::network;
use crate::error::StoreError;

/// A connection to either back end. A query that both understand is written once.
#[derive(diesel::MultiConnection)]
pub enum Conn {
    Postgres(PgConnection),
    /// SQLite, compiled in.
    Sqlite(SqliteConnection),
}

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A SQLite file, created if it does not exist.
    Sqlite(PathBuf),
    /// A PostgreSQL server, as a libpq URL.
    Postgres(String),
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        match text.strip_prefix("sqlite://") {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err(
                "expected sqlite:///path/to/file.db or postgres://user@host/database".to_owned(),
            ),
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Write,
    /// On SQLite, a statement that writes fails.
    Read,
}

impl DatabaseUrl {
    pub(crate) fn connect(&self, purpose: Purpose) -> Result<Conn, StoreError> {
        let unavailable =
            |error: diesel::ConnectionError| StoreError::Unavailable(error.to_string());
        match self {
            DatabaseUrl::Postgres(url) => PgConnection::establish(&network::with_timeouts(url))
                .map(Conn::Postgres)
                .map_err(unavailable),
            DatabaseUrl::Sqlite(path) => {
                let path = path.to_str().ok_or_else(|| {
                    StoreError::Unavailable(format!("the path {} is not UTF-8", path.display()))
                })?;
                let mut conn = SqliteConnection::establish(path).map_err(unavailable)?;
                // WAL with FULL: a committed transaction survives a power failure, and readers
                // never wait for the writer. With a checkpoint every 16 MB, a page that changes
                // often is written once per checkpoint. The busy timeout is for a second process,
                // such as `migrate`.
                conn.batch_execute(
                    "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; \
                     PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                     PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY; \
                     PRAGMA wal_autocheckpoint = 4000;",
                )?;
                // A read closure that wrote would bypass the writer thread and its group commit.
                if purpose == Purpose::Read {
                    conn.batch_execute("PRAGMA query_only = ON;")?;
                }
                Ok(Conn::Sqlite(conn))
            }
        }
    }
}

/// Opens connections for a pool.
#[derive(Debug)]
pub(crate) struct ConnectionFactory {
    pub(crate) url: DatabaseUrl,
    pub(crate) purpose: Purpose,
}

/// Why a pooled connection cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct PoolError(String);

impl diesel::r2d2::ManageConnection for ConnectionFactory {
    type Connection = Conn;
    type Error = PoolError;

    fn connect(&self) -> Result<Conn, PoolError> {
        let mut conn = self.url.connect(self.purpose);
        if let Ok(conn @ Conn::Postgres(_)) = &mut conn {
            // Only here: migrations may take longer.
            conn.batch_execute(network::SESSION)
                .map_err(|error| PoolError(error.to_string()))?;
        }
        conn.map_err(|error| PoolError(error.to_string()))
    }

    fn is_valid(&self, conn: &mut Conn) -> Result<(), PoolError> {
        diesel::sql_query("SELECT 1")
            .execute(conn)
            .map(drop)
            .map_err(|error| PoolError(error.to_string()))
    }

    fn has_broken(&self, conn: &mut Conn) -> bool {
        diesel::r2d2::R2D2Connection::is_broken(conn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_urls_need_a_known_scheme() {
        assert_eq!(
            "sqlite:///x.db".parse(),
            Ok(DatabaseUrl::Sqlite("/x.db".into()))
        );
        assert!(matches!(
            "postgres://h/d".parse(),
            Ok(DatabaseUrl::Postgres(_))
        ));
        for bad in ["", "x.db", "mysql://h/d", "sqlite://", "postgre://h/d"] {
            assert!(bad.parse::<DatabaseUrl>().is_err(), "{bad}");
        }
    }
}

//! A database of its own for a benchmark.

use std::path::{Path, PathBuf};

use anyhow::Context;
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, SqliteConnection};
use slipway_store::DatabaseUrl;
use tempfile::TempDir;

/// A database of its own, and connections that are not the store's.
pub(crate) struct BenchDatabase {
    pub(crate) url: DatabaseUrl,
    pub(crate) location: Location,
}

pub(crate) enum Location {
    Sqlite {
        path: PathBuf,
        _dir: TempDir,
    },
    Postgres {
        server: String,
        url: String,
        name: String,
    },
}

impl BenchDatabase {
    pub(crate) fn sqlite() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("queue.db");
        Ok(Self {
            url: DatabaseUrl::Sqlite(path.clone()),
            location: Location::Sqlite { path, _dir: dir },
        })
    }

    pub(crate) fn postgres(server: &str) -> anyhow::Result<Self> {
        let name = format!("bench_{}", std::process::id());
        let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        let mut conn = PgConnection::establish(server)?;
        conn.batch_execute(&drop)?;
        conn.batch_execute(&format!("CREATE DATABASE {name}"))?;
        let (host, _) = server
            .rsplit_once('/')
            .context("the server URL names no database")?;
        let url = format!("{host}/{name}");
        let location = Location::Postgres {
            server: server.to_owned(),
            url: url.clone(),
            name,
        };
        Ok(Self {
            url: DatabaseUrl::Postgres(url),
            location,
        })
    }

    /// Runs statements that both back ends understand.
    pub(crate) fn execute(&self, sql: &str) -> anyhow::Result<()> {
        match &self.location {
            Location::Sqlite { path, .. } => {
                open(path)?.batch_execute(&format!("BEGIN IMMEDIATE; {sql} COMMIT;"))?
            }
            Location::Postgres { url, .. } => PgConnection::establish(url)?.batch_execute(sql)?,
        }
        Ok(())
    }

    /// Does what autovacuum would have done by the time so many rows were written.
    pub(crate) fn vacuum(&self) -> anyhow::Result<()> {
        match &self.location {
            Location::Sqlite { path, .. } => {
                open(path)?.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)")?
            }
            Location::Postgres { url, .. } => {
                PgConnection::establish(url)?.batch_execute("VACUUM ANALYZE")?
            }
        }
        Ok(())
    }
}

impl Drop for BenchDatabase {
    fn drop(&mut self) {
        if let Location::Postgres { server, name, .. } = &self.location
            && let Ok(mut conn) = PgConnection::establish(server)
        {
            // If this fails, the database stays until its server is deleted.
            let _ = conn.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}

pub(crate) fn open(path: &Path) -> anyhow::Result<SqliteConnection> {
    let mut conn = SqliteConnection::establish(path.to_str().context("the path is not UTF-8")?)?;
    conn.batch_execute(
        "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         PRAGMA foreign_keys = ON; PRAGMA cache_size = -65536;",
    )?;
    Ok(conn)
}

//! A PostgreSQL database for one test, on the server in `SLIPWAY_TEST_POSTGRES`.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use tokio_postgres::NoTls;

/// The environment variable with the URL of a database of the server, whose user may create databases.
/// `cargo xtask test` starts a server and sets it.
pub const SERVER: &str = "SLIPWAY_TEST_POSTGRES";

/// A database for one test. Dropping this deletes it, even if clients are connected.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

/// Creates an empty database.
pub async fn fresh_database() -> Database {
    let server = std::env::var(SERVER).unwrap_or_else(|_| {
        panic!("{SERVER} is not set: `cargo xtask test` starts a PostgreSQL and sets it")
    });
    let name = unique_name();
    execute(&server, &format!("CREATE DATABASE {name}"))
        .await
        .unwrap_or_else(|error| {
            panic!("could not create a database on the server in {SERVER}: {error:?}")
        });
    Database { server, name }
}

impl Database {
    /// The URL that connects to this database.
    #[must_use]
    pub fn url(&self) -> String {
        let (address, parameters) = match self.server.split_once('?') {
            Some((address, parameters)) => (address, format!("?{parameters}")),
            None => (self.server.as_str(), String::new()),
        };
        let (host, _database) = address
            .rsplit_once('/')
            .filter(|(host, _)| !host.ends_with('/'))
            .unwrap_or_else(|| panic!("{SERVER} must be postgres://user@host:port/database"));
        format!("{host}/{}{parameters}", self.name)
    }
}

impl Database {
    /// Runs statements in this database, for states that the farm itself does not produce.
    pub async fn execute(&self, statements: &str) {
        execute(&self.url(), statements)
            .await
            .expect("running the statements");
    }

    /// Closes every connection to this database, as a restart of the server does.
    pub async fn cut_connections(&self) {
        let statement = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
            self.name
        );
        execute(&self.server, &statement)
            .await
            .expect("closing the connections");
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let server = self.server.clone();
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // `drop` may run inside a runtime, which cannot block on another one, so use a thread.
        let dropped = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(execute(&server, &statement))
        });
        // A database that could not be deleted ends with the server, after the tests.
        let _ = dropped.join();
    }
}

async fn execute(server: &str, statement: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(server, NoTls).await?;
    let connection = tokio::spawn(connection);
    let executed = client.batch_execute(statement).await;
    drop(client);
    let _ = connection.await;
    executed
}

/// A name that is unique across processes and runs.
fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    format!(
        "slipway_test_{}_{}_{}",
        now.as_micros(),
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_replaces_only_the_database_name() {
        for (server, url) in [
            (
                "postgres://me@host:5432/postgres",
                "postgres://me@host:5432/mine",
            ),
            (
                "postgres://me:pw@host/admin?sslmode=disable",
                "postgres://me:pw@host/mine?sslmode=disable",
            ),
        ] {
            let database = std::mem::ManuallyDrop::new(Database {
                server: server.to_owned(),
                name: "mine".to_owned(),
            });
            assert_eq!(database.url(), url);
        }
    }

    #[tokio::test]
    async fn postgres_databases_are_separate_and_deleted_on_drop() {
        let (one, other) = (fresh_database().await, fresh_database().await);
        let (url, server) = (one.url(), one.server.clone());
        execute(&url, "CREATE TABLE t (a int)").await.unwrap();
        execute(&other.url(), "CREATE TABLE t (a int)")
            .await
            .unwrap();
        let (_still_connected, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        drop(one);
        assert!(execute(&url, "SELECT 1").await.is_err());
        assert!(connection.await.unwrap().is_err(), "it was disconnected");
        execute(&server, "SELECT 1").await.unwrap();
    }
}

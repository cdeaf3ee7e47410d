//! A PostgreSQL database for one test, on the server that `SLIPWAY_TEST_POSTGRES` names.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use tokio_postgres::NoTls;

/// The variable that names the server, by the URL of a database of it in which databases may be
/// created. `cargo xtask test` starts such a server and sets it.
pub const SERVER: &str = "SLIPWAY_TEST_POSTGRES";

/// A database that only one test knows of. It is dropped with this value, whoever is connected.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

/// Makes an empty database.
///
/// # Panics
/// When there is no server to make it on.
pub async fn fresh_database() -> Database {
    let server = std::env::var(SERVER).unwrap_or_else(|_| {
        panic!("{SERVER} is not set: `cargo xtask test` starts a PostgreSQL and sets it")
    });
    let name = unique_name();
    execute(&server, &format!("CREATE DATABASE {name}"))
        .await
        .unwrap_or_else(|error| panic!("no database on the server that {SERVER} names: {error:?}"));
    Database { server, name }
}

impl Database {
    /// The URL that connects to this database.
    ///
    /// # Panics
    /// When the URL of the server names no database to put this one in the place of.
    #[must_use]
    pub fn url(&self) -> String {
        let (address, parameters) = match self.server.split_once('?') {
            Some((address, parameters)) => (address, format!("?{parameters}")),
            None => (self.server.as_str(), String::new()),
        };
        let (host, _database) = address
            .rsplit_once('/')
            .filter(|(host, _)| !host.ends_with('/'))
            .unwrap_or_else(|| panic!("{SERVER} has to be postgres://user@host:port/database"));
        format!("{host}/{}{parameters}", self.name)
    }
}

impl Database {
    /// Ends every connection to this database, as a restart of the server does.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn cut_connections(&self) {
        let statement = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
            self.name
        );
        execute(&self.server, &statement)
            .await
            .expect("connections to end");
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let server = self.server.clone();
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A drop may happen inside a runtime, where no other may be waited for, so it has a thread.
        let dropped = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(execute(&server, &statement))
        });
        // The server goes away after the tests, and with it what could not be dropped.
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

/// A name that no other test has, be it in this process, in another, or in an earlier one.
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
    fn only_the_database_of_the_url_is_replaced() {
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
    async fn postgres_databases_are_apart_and_go_away() {
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

//! A PostgreSQL database for one test, on the server in `SLIPWAY_TEST_POSTGRES`.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use slipway_store::Store;
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
    create(server(), "template1").await
}

/// Creates a database with the farm's tables, as a copy of one that the first test creates: copying is
/// faster than running every migration.
pub async fn migrated_database() -> Database {
    let server = server();
    let template = template(&server).await;
    create(server, &template).await
}

fn server() -> String {
    std::env::var(SERVER).unwrap_or_else(|_| {
        panic!("{SERVER} is not set: `cargo xtask test` starts a PostgreSQL and sets it")
    })
}

async fn create(server: String, template: &str) -> Database {
    let name = unique_name();
    execute(
        &server,
        &format!("CREATE DATABASE {name} TEMPLATE {template}"),
    )
    .await
    .unwrap_or_else(|error| {
        panic!("could not create a database on the server in {SERVER}: {error:?}")
    });
    Database { server, name }
}

/// The name of the database with the tables of the present migrations, which is created if the server
/// does not have it. It stays on the server.
async fn template(server: &str) -> String {
    let name = format!("slipway_template_{:016x}", hash_of_migrations());
    let (client, connection) = tokio_postgres::connect(server, NoTls)
        .await
        .expect("a connection to the server");
    let connection = tokio::spawn(connection);
    // Several test processes start at once. The lock ends with the connection.
    let made = async {
        client.batch_execute("SELECT pg_advisory_lock(1)").await?;
        let find = "SELECT 1 FROM pg_database WHERE datname = $1";
        if client.query_opt(find, &[&name]).await?.is_some() {
            return Ok(());
        }
        // A database that is not complete must not have the name.
        let incomplete = Database {
            server: server.to_owned(),
            name: unique_name(),
        };
        let own = &incomplete.name;
        client
            .batch_execute(&format!("CREATE DATABASE {own}"))
            .await?;
        let url = incomplete.url().parse().expect("a database URL");
        Store::migrate(&url).await.expect("the migrations");
        let rename = format!("ALTER DATABASE {own} RENAME TO {name}");
        client.batch_execute(&rename).await
    };
    made.await.expect("the database with the tables");
    drop(client);
    let _ = connection.await;
    name
}

fn hash_of_migrations() -> u64 {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/postgres");
    let mut hasher = DefaultHasher::new();
    let entries = std::fs::read_dir(root).expect("the migrations");
    let mut steps: Vec<PathBuf> = entries.map(|entry| entry.expect("a step").path()).collect();
    steps.sort();
    for step in steps {
        step.hash(&mut hasher);
        let text = std::fs::read(step.join("up.sql")).expect("a step");
        text.hash(&mut hasher);
    }
    hasher.finish()
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

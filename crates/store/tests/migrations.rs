//! Migrations on both back ends.
#![expect(clippy::unwrap_used, reason = "in a test a panic is a failure")]

use std::collections::BTreeSet;

use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use slipway_store::{DatabaseUrl, Store, StoreError};
use slipway_testkit::postgres::fresh_database;

#[derive(QueryableByName, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Column {
    #[diesel(sql_type = Text)]
    table_name: String,
    #[diesel(sql_type = Text)]
    column_name: String,
    #[diesel(sql_type = Bool)]
    nullable: bool,
}

const SQLITE: &str = "\
    SELECT m.name AS table_name, c.name AS column_name, NOT c.\"notnull\" AS nullable \
    FROM sqlite_master m JOIN pragma_table_info(m.name) c \
    WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\'";

const POSTGRES: &str = "\
    SELECT table_name::text, column_name::text, is_nullable = 'YES' AS nullable \
    FROM information_schema.columns \
    WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_%'";

async fn columns(url: &DatabaseUrl, query: &'static str) -> BTreeSet<Column> {
    let store = Store::open(url).await.unwrap();
    let read = move |conn: &mut slipway_store::Conn| -> Result<Vec<Column>, StoreError> {
        Ok(diesel::sql_query(query).load(conn)?)
    };
    store.read(read).await.unwrap().into_iter().collect()
}

/// The tables that are read to find what the storage keeps for a job. Stored bytes of an ended job to
/// which none of them refers are deleted.
const TABLES_WITH_BLOBS_OF_JOBS: [&str; 4] = [
    "artifact_upload_pieces",
    "artifacts",
    "trace_chunks",
    "trace_tail_chunks",
];

#[tokio::test]
async fn every_table_with_blobs_of_jobs_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let columns = columns(&DatabaseUrl::Sqlite(dir.path().join("x.db")), SQLITE).await;
    let has = |table: &str, name: &str| {
        let mut columns = columns.iter();
        columns.any(|column| column.table_name == table && column.column_name == name)
    };
    let tables: BTreeSet<&str> = columns
        .iter()
        .map(|column| column.table_name.as_str())
        .filter(|table| has(table, "blob_key") && has(table, "job_id"))
        .collect();
    // A new one belongs into `jobs::blobs_of`, too.
    assert_eq!(tables, BTreeSet::from(TABLES_WITH_BLOBS_OF_JOBS));
}

/// A database that a later version has migrated is refused, and stays as it is.
async fn refuses_a_newer_database(url: &DatabaseUrl) {
    let store = Store::open(url).await.unwrap();
    let add = |conn: &mut slipway_store::Conn| -> Result<usize, StoreError> {
        let row = "INSERT INTO __diesel_schema_migrations (version) VALUES ('9000')";
        Ok(diesel::sql_query(row).execute(conn)?)
    };
    store.write(add).await.unwrap();
    drop(store);
    for result in [
        Store::open(url).await.map(drop),
        Store::migrate(url).await.map(drop),
    ] {
        let error = result.unwrap_err();
        assert!(
            matches!(&error, StoreError::NewerDatabase { migration } if migration == "9000"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn newer_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    refuses_a_newer_database(&DatabaseUrl::Sqlite(dir.path().join("x.db"))).await;
}

mod postgres {
    use super::*;

    #[tokio::test]
    async fn newer_database_is_refused() {
        let database = fresh_database().await;
        refuses_a_newer_database(&database.url().parse().unwrap()).await;
    }

    #[tokio::test]
    async fn both_back_ends_have_the_same_columns() {
        let dir = tempfile::tempdir().unwrap();
        let sqlite = columns(&DatabaseUrl::Sqlite(dir.path().join("x.db")), SQLITE).await;
        let database = fresh_database().await;
        let postgres = columns(&database.url().parse().unwrap(), POSTGRES).await;
        assert!(sqlite.len() > 100, "{sqlite:?}");
        assert_eq!(sqlite, postgres);
    }

    #[tokio::test]
    async fn migrate_applies_nothing_to_a_migrated_database() {
        let database = fresh_database().await;
        let url: DatabaseUrl = database.url().parse().unwrap();
        assert!(Store::migrate(&url).await.unwrap() > 0);
        assert_eq!(Store::migrate(&url).await.unwrap(), 0);
    }
}

//! Writes to a SQLite database whose disk is full, which a limit of its pages simulates: SQLite reports
//! both in the same way.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::deserialize::QueryableByName;
use diesel::sql_types::BigInt;
use slipway_store::{Conn, DatabaseUrl, Store, StoreError};

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

async fn run(store: &Store, sql: &'static str) -> Result<(), StoreError> {
    store
        .write(move |conn: &mut Conn| Ok(conn.batch_execute(sql)?))
        .await
}

async fn rows(store: &Store) -> i64 {
    let count = |conn: &mut Conn| {
        let query = diesel::sql_query("SELECT count(*) AS rows FROM filled");
        let mut found: Vec<Count> = query.load(conn)?;
        Ok(found.remove(0).rows)
    };
    store.read(count).await.unwrap()
}

const SMALL: &str = "INSERT INTO filled VALUES (zeroblob(10))";
const LARGE: &str = "INSERT INTO filled VALUES (zeroblob(4000000))";

#[tokio::test]
async fn a_full_disk_is_reported_and_what_succeeded_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(dir.path().join("a.db"));
    let store = Store::open(&url).await.unwrap();
    run(&store, "CREATE TABLE filled (bytes BLOB)")
        .await
        .unwrap();
    // Less than the size of the database: the limit becomes its size, and it cannot grow.
    run(&store, "PRAGMA max_page_count = 1").await.unwrap();
    let full = run(&store, LARGE).await;
    assert!(matches!(full, Err(StoreError::DiskFull(_))), "{full:?}");
    assert!(!full.unwrap_err().outcome_is_unknown());
    // Writes that share a commit with one that fails are stored exactly if they succeed.
    let mut stored = rows(&store).await;
    for _ in 0..20 {
        let (one, two, three) =
            tokio::join!(run(&store, SMALL), run(&store, LARGE), run(&store, SMALL),);
        assert!(matches!(two, Err(StoreError::DiskFull(_))), "{two:?}");
        for small in [one, three] {
            assert!(
                matches!(small, Ok(()) | Err(StoreError::DiskFull(_))),
                "{small:?}"
            );
            stored += i64::from(small.is_ok());
        }
        assert_eq!(rows(&store).await, stored);
    }
    run(&store, "PRAGMA max_page_count = 1000000")
        .await
        .unwrap();
    run(&store, LARGE).await.unwrap();
    assert_eq!(rows(&store).await, stored + 1);
}

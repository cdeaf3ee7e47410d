//! The SQLite that is compiled in.

use diesel::prelude::*;
use diesel::sql_types::Text;
use slipway_store::{Conn, DatabaseUrl, Store, StoreError};

#[derive(QueryableByName)]
struct CompileOption {
    #[diesel(sql_type = Text)]
    compile_options: String,
}

/// With statistics of values, SQLite prepares a statement again whenever a value changes that is compared
/// with an indexed column, and without a guarantee that plans are stable, whenever a limit is set: nearly all
/// statements at nearly each use. With shared page memory, all readers wait for one lock.
#[tokio::test]
async fn prepared_statements_stay_prepared_and_readers_share_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(dir.path().join("slipway.db"));
    let store = Store::open(&url).await.unwrap();
    let read = |conn: &mut Conn| -> Result<Vec<CompileOption>, StoreError> {
        Ok(diesel::sql_query("PRAGMA compile_options").load(conn)?)
    };
    let options = store.read(read).await.unwrap();
    let has = |name: &str| {
        let mut options = options.iter();
        options.any(|option| option.compile_options.starts_with(name))
    };
    assert!(has("THREADSAFE"), "the options are not listed");
    assert!(
        !has("ENABLE_STAT4"),
        "set LIBSQLITE3_FLAGS as .cargo/config.toml does"
    );
    assert!(has("ENABLE_QPSG"));
    assert!(!has("ENABLE_MEMORY_MANAGEMENT"));
}

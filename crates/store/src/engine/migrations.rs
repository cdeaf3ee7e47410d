//! The migrations, compiled in. Both back ends have the same steps.

use std::collections::BTreeSet;

use diesel::backend::Backend;
use diesel::migration::MigrationSource;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::engine::connection::Conn;
use crate::error::StoreError;

const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");

/// An arbitrary lock id that no other program should use. It must never change, because
/// coordinators of different versions have to share it.
const MIGRATION_LOCK: &str = "SELECT pg_advisory_lock(7547929)";
const MIGRATION_UNLOCK: &str = "SELECT pg_advisory_unlock(7547929)";

/// Applies pending migrations and returns how many there were.
///
/// # Errors
/// `NewerDatabase` if a later version of the program has applied a migration that this one does not
/// know. Nothing is changed then: rows could mean something else now.
pub(crate) fn apply(conn: &mut Conn) -> Result<usize, StoreError> {
    use diesel::connection::SimpleConnection;

    match conn {
        Conn::Sqlite(conn) => apply_from(SQLITE, conn),
        Conn::Postgres(conn) => {
            // Coordinators that start at the same time migrate one after the other.
            conn.batch_execute(MIGRATION_LOCK)?;
            let applied = apply_from(POSTGRES, conn);
            // Released even if a migration failed, because the lock belongs to the session.
            conn.batch_execute(MIGRATION_UNLOCK)?;
            applied
        }
    }
}

fn apply_from<DB: Backend>(
    migrations: EmbeddedMigrations,
    conn: &mut impl MigrationHarness<DB>,
) -> Result<usize, StoreError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        StoreError::Unavailable(format!("a migration failed: {error}"))
    };
    let known = MigrationSource::<DB>::migrations(&migrations).map_err(failed)?;
    let known: BTreeSet<String> = known
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect();
    let applied = conn.applied_migrations().map_err(failed)?;
    let unknown = applied
        .iter()
        .map(ToString::to_string)
        .find(|version| !known.contains(version));
    if let Some(migration) = unknown {
        return Err(StoreError::NewerDatabase { migration });
    }
    let done = conn.run_pending_migrations(migrations).map_err(failed)?;
    Ok(done.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::connection::{DatabaseUrl, Purpose};

    fn steps(backend: &str) -> Vec<String> {
        let folder = format!("{}/../../migrations/{backend}", env!("CARGO_MANIFEST_DIR"));
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn both_back_ends_have_the_same_steps() {
        assert_eq!(steps("sqlite"), steps("postgres"));
    }

    #[test]
    fn migrations_apply_again_after_they_were_reverted_on_sqlite() {
        let dir = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(dir.path().join("x.db"));
        let mut conn = url.connect(Purpose::Write).unwrap();
        let all = apply(&mut conn).unwrap();
        assert_eq!((all, apply(&mut conn).unwrap()), (steps("sqlite").len(), 0));
        let Conn::Sqlite(sqlite) = &mut conn else {
            unreachable!()
        };
        sqlite.revert_all_migrations(SQLITE).unwrap();
        assert_eq!(apply(&mut conn).unwrap(), all);
    }
}

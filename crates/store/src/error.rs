//! Errors of the store: one variant for each case that callers treat differently.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use slipway_domain::InvalidTransition;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The row does not exist.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// A row like it exists already, or another row still refers to it.
    #[error("{0}")]
    Conflict(&'static str),
    /// The project accepts no builds.
    #[error("the project is read-only")]
    ReadOnly,
    /// The uploaded sources of a build were deleted.
    #[error("the sources were deleted; upload them again")]
    SourcesGone,
    /// The job's state does not allow the event.
    #[error(transparent)]
    Refused(#[from] InvalidTransition),
    /// The row changed after it was read. Read it again and decide again.
    #[error("the row changed after it was read")]
    Stale,
    /// A chunk does not begin where the stored trace ends.
    #[error("the chunk does not begin at the end of the trace, which has {held} bytes")]
    TraceGap {
        /// The length of the stored trace, in bytes.
        held: u64,
    },
    /// The job was erased and accepts no more data.
    #[error("the job was erased")]
    Erased,
    /// A stored value is invalid: another program wrote to the database.
    #[error("the stored {0} is invalid")]
    Corrupt(&'static str),
    /// The database cannot be reached or does not answer.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The disk of the database has no space left. The write was rolled back.
    #[error("the disk of the database is full: {0}")]
    DiskFull(String),
    /// A later version of the program has used the database.
    #[error(
        "a newer version of Slipway has changed the database (migration {migration}): start that \
         version, or restore the backup from before the upgrade"
    )]
    NewerDatabase {
        /// The number of the unknown migration.
        migration: String,
    },
    /// The database rejected a statement, which is a bug in the store.
    #[error("the database rejected a statement")]
    Database(#[source] DieselError),
}

impl StoreError {
    /// Whether running the same work again may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            StoreError::Stale => true,
            StoreError::Database(DieselError::DatabaseError(kind, info)) => {
                // Diesel has no kind for a deadlock; PostgreSQL names it in the text.
                matches!(kind, DatabaseErrorKind::SerializationFailure)
                    || info.message().contains("deadlock detected")
            }
            _ => false,
        }
    }
}

impl StoreError {
    /// Whether a write that failed with this error may have been committed nevertheless: the
    /// database became unavailable before it confirmed or rejected the commit. Blobs that the write
    /// refers to must then not be deleted.
    pub fn outcome_is_unknown(&self) -> bool {
        match self {
            StoreError::Unavailable(_) | StoreError::Database(_) => true,
            StoreError::NotFound(_)
            | StoreError::Conflict(_)
            | StoreError::ReadOnly
            | StoreError::SourcesGone
            | StoreError::Refused(_)
            | StoreError::Stale
            | StoreError::TraceGap { .. }
            | StoreError::Erased
            | StoreError::Corrupt(_)
            | StoreError::DiskFull(_)
            | StoreError::NewerDatabase { .. } => false,
        }
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::NotFound => StoreError::NotFound("row"),
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => {
                StoreError::Conflict("it already exists")
            }
            DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _) => {
                StoreError::Conflict("something else still refers to it")
            }
            DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, info) => {
                StoreError::Unavailable(info.message().to_owned())
            }
            DieselError::DatabaseError(_, ref info) if is_full(info.message()) => {
                StoreError::DiskFull(info.message().to_owned())
            }
            // A statement that meets a server shutdown fails with various other kinds.
            DieselError::DatabaseError(_, ref info) if is_shutdown(info.message()) => {
                StoreError::Unavailable(info.message().to_owned())
            }
            other => StoreError::Database(other),
        }
    }
}

/// Whether a message of SQLite, or of PostgreSQL or its system, means that the disk is full. Diesel has
/// no kind for it.
fn is_full(message: &str) -> bool {
    [
        "database or disk is full",
        "No space left on device",
        "Disk quota exceeded",
    ]
    .iter()
    .any(|text| message.contains(text))
}

/// PostgreSQL reports its shutdown only in the message text, because libpq has no error code for a
/// lost server.
fn is_shutdown(message: &str) -> bool {
    [
        "terminating connection",
        "server closed the connection",
        "the database system is",
        "could not connect",
        // SQLite, if its disk fails.
        "disk I/O error",
    ]
    .iter()
    .any(|text| message.contains(text))
}

/// Names the missing thing in a "not found" error.
pub(crate) trait OrMissing<T> {
    /// Turns "no row" into [`StoreError::NotFound`] with `what`.
    fn or_missing(self, what: &'static str) -> Result<T, StoreError>;
}

impl<T> OrMissing<T> for diesel::QueryResult<T> {
    fn or_missing(self, what: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| match error {
            DieselError::NotFound => StoreError::NotFound(what),
            other => other.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_is_unknown_only_if_the_database_did_not_answer() {
        let lost = DieselError::DatabaseError(
            DatabaseErrorKind::ClosedConnection,
            Box::new("server closed the connection unexpectedly".to_owned()),
        );
        assert!(StoreError::from(lost).outcome_is_unknown());
        assert!(StoreError::Unavailable("the commit failed".to_owned()).outcome_is_unknown());
        for rejected in [
            StoreError::TraceGap { held: 1 },
            StoreError::Erased,
            StoreError::Stale,
        ] {
            assert!(!rejected.outcome_is_unknown(), "{rejected}");
        }
    }
}

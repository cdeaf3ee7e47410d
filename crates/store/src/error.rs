//! What can go wrong in the store, one variant for each thing a caller treats differently.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use slipway_domain::InvalidTransition;

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such row.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// A row like it is there already, or something still refers to it.
    #[error("{0}")]
    Conflict(&'static str),
    /// The sources of a build are not kept any more.
    #[error("the sources are not kept any more; send them again")]
    SourcesGone,
    /// The job's state does not allow the event.
    #[error(transparent)]
    Refused(#[from] InvalidTransition),
    /// The row changed since it was read: read it again and decide again.
    #[error("the row changed since it was read")]
    Stale,
    /// A chunk of a trace does not begin where the trace ends.
    #[error("the trace has {held} bytes")]
    TraceGap {
        /// How many bytes the trace has.
        held: u64,
    },
    /// The job was erased, and takes nothing more.
    #[error("the job was erased")]
    Erased,
    /// A stored value cannot be read: somebody else wrote to the database.
    #[error("the stored {0} cannot be read")]
    Corrupt(&'static str),
    /// The database cannot be reached or does not answer.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database refused a statement: a bug of the store.
    #[error("the database refused a statement")]
    Database(#[source] DieselError),
}

impl StoreError {
    /// Whether the same work may succeed when it is simply done again.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            StoreError::Stale => true,
            StoreError::Database(DieselError::DatabaseError(kind, info)) => {
                matches!(kind, DatabaseErrorKind::SerializationFailure)
                    || info.message().contains("deadlock detected")
            }
            _ => false,
        }
    }
}

impl StoreError {
    /// Whether a write that failed like this may have been kept all the same: the database went
    /// away before it said whether it had. What the write refers to must then not be deleted.
    pub fn outcome_is_unknown(&self) -> bool {
        match self {
            StoreError::Unavailable(_) | StoreError::Database(_) => true,
            StoreError::NotFound(_)
            | StoreError::Conflict(_)
            | StoreError::SourcesGone
            | StoreError::Refused(_)
            | StoreError::Stale
            | StoreError::TraceGap { .. }
            | StoreError::Erased
            | StoreError::Corrupt(_) => false,
        }
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::NotFound => StoreError::NotFound("row"),
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => {
                StoreError::Conflict("it exists already")
            }
            DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _) => {
                StoreError::Conflict("something else still refers to it")
            }
            DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, info) => {
                StoreError::Unavailable(info.message().to_owned())
            }
            DieselError::DatabaseError(_, ref info) if is_shutdown(info.message()) => {
                StoreError::Unavailable(info.message().to_owned())
            }
            other => StoreError::Database(other),
        }
    }
}

/// PostgreSQL tells of its own end in the text alone, as libpq has no code for a lost server.
fn is_shutdown(message: &str) -> bool {
    [
        "terminating connection",
        "server closed the connection",
        "the database system is",
        "could not connect",
    ]
    .iter()
    .any(|sign| message.contains(sign))
}

/// Names what was looked for when a row is missing.
pub(crate) trait OrMissing<T> {
    /// Turns "no row" into [`StoreError::NotFound`] of `what`.
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
    fn only_a_refusal_says_that_nothing_was_kept() {
        let lost = DieselError::DatabaseError(
            DatabaseErrorKind::ClosedConnection,
            Box::new("server closed the connection unexpectedly".to_owned()),
        );
        assert!(StoreError::from(lost).outcome_is_unknown());
        assert!(StoreError::Unavailable("the commit failed".to_owned()).outcome_is_unknown());
        for refusal in [
            StoreError::TraceGap { held: 1 },
            StoreError::Erased,
            StoreError::Stale,
        ] {
            assert!(!refusal.outcome_is_unknown(), "{refusal}");
        }
    }
}

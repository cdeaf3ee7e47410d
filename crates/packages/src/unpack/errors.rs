//! Errors while unpacking: refused entries and malformed archives.

use crate::error::PackageError;

use super::name::shown;

/// Why an entry could not be unpacked.
pub(super) enum EntryError {
    /// The entry is not allowed. The text continues a sentence that starts with its name.
    Refused(String),
    /// A failure that is not about this entry.
    Failed(PackageError),
}

impl<E: Into<PackageError>> From<E> for EntryError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl EntryError {
    /// Adds the name of the entry.
    pub(super) fn with_name(self, name: &[u8]) -> PackageError {
        match self {
            Self::Refused(reason) => refused(name, reason),
            Self::Failed(error) => error,
        }
    }
}

/// The error for an entry that is not allowed.
pub(super) fn refused(name: &[u8], reason: impl Into<String>) -> PackageError {
    PackageError::RefusedEntry {
        entry: shown(name),
        reason: reason.into(),
    }
}

/// Converts an error of a decoder.
pub(super) fn broken(error: impl std::fmt::Display) -> PackageError {
    // The message of a decoder may quote bytes of the archive, so it is sanitized like a name.
    malformed(&shown(error.to_string().as_bytes()))
}

pub(super) fn malformed(reason: &str) -> PackageError {
    PackageError::BrokenArchive(reason.to_owned())
}

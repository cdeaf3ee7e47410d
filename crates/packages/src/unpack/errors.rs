//! Errors of unpacking: what is wrong with an entry, and what a decoder could not read.

use crate::error::PackageError;

use super::name::shown;

/// Why an entry has no place in the tree.
pub(super) enum EntryError {
    /// The entry is to blame. The text goes on from its name.
    Refused(String),
    /// The whole work ends.
    Failed(PackageError),
}

impl<E: Into<PackageError>> From<E> for EntryError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl EntryError {
    /// The error, with the name of the entry that is to blame.
    pub(super) fn naming(self, name: &[u8]) -> PackageError {
        match self {
            Self::Refused(reason) => refused(name, reason),
            Self::Failed(error) => error,
        }
    }
}

/// The refusal of the entry of this name.
pub(super) fn refused(name: &[u8], reason: impl Into<String>) -> PackageError {
    PackageError::RefusedEntry {
        entry: shown(name),
        reason: reason.into(),
    }
}

/// The error for what a decoder could not read.
pub(super) fn broken(error: impl std::fmt::Display) -> PackageError {
    // What a decoder says may quote the archive.
    broken_as(&shown(error.to_string().as_bytes()))
}

pub(super) fn broken_as(reason: &str) -> PackageError {
    PackageError::BrokenArchive(reason.to_owned())
}

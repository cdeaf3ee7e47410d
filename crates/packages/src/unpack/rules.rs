//! Which trees an archive may contain.

/// What is accepted of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// Links stay inside, names are portable, and directories are not replaced. Permissions are
    /// normalized.
    Untrusted,
    /// Everything that a job can leave in its work directory, and that a user's directory can contain.
    Restore,
}

//! What can go wrong with a package, told so that somebody can act on it.
//!
//! No message has a URL's login or query, and none says which address a host name has.

use slipway_domain::FailureReason;

/// Why there are no sources.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The URL is not one that a package is fetched from. The text says why.
    #[error("the package's address is refused: {0}")]
    RefusedUrl(&'static str),
    /// The host is not in the public network, and nobody allowed where it is.
    #[error(
        "the package's host {host} is not at a public address, and packages are fetched from \
         public addresses only; who runs this runner can allow its network"
    )]
    NotPublic {
        /// The host, as the URL names it.
        host: String,
    },
    /// The server could not be reached, or did not give the package.
    #[error("the package {url} could not be fetched: {reason}")]
    Unavailable {
        /// The address, without a login and a query.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The package has more bytes than it may.
    #[error("the package is larger than {}", bytes(*.limit))]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// Fetching or unpacking took too long.
    #[error("{what} the package took longer than {seconds} s")]
    TimedOut {
        /// "fetching" or "unpacking".
        what: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// Nothing came from the server for too long.
    #[error("the package {url} could not be fetched: nothing came for {seconds} s")]
    Stalled {
        /// The address, without a login and a query.
        url: String,
        /// The limit.
        seconds: u64,
    },
    /// The package is neither an archive that is unpacked nor a Dockerfile.
    #[error(
        "the package is {found}; a package is a tar archive compressed with gzip, a zip archive, \
         or a Dockerfile"
    )]
    Unsupported {
        /// What it is instead, with its article or its content type.
        found: String,
    },
    /// An entry of the archive is not unpacked, and so nothing is.
    #[error("the archive is refused: its entry \"{entry}\" {reason}")]
    RefusedEntry {
        /// The entry's name, shortened and without control characters.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The archive as a whole is not unpacked.
    #[error("the archive is refused: it {0}")]
    RefusedArchive(String),
    /// The archive is damaged, or no archive.
    #[error("the archive cannot be read: {0}")]
    BrokenArchive(String),
    /// The Dockerfile or the context is not inside the package.
    #[error("{path} leads out of the package, and nothing outside of it is built")]
    OutsidePackage {
        /// The path, as it was given.
        path: String,
    },
    /// The context is not there, or is no directory.
    #[error("the build context {path} is not a directory of the package")]
    ContextMissing {
        /// The path, as it was given.
        path: String,
    },
    /// There is no Dockerfile at the path.
    #[error("the package has no Dockerfile at {path}; correct the path, or name a subdirectory")]
    DockerfileMissing {
        /// The path in the package.
        path: String,
    },
    /// There is no room for the sources.
    #[error("the disk is full: there is no room for the package")]
    DiskFull,
    /// The host did not let us work, for instance because a directory could not be made.
    #[error("the place for the package could not be used")]
    Io(#[source] std::io::Error),
}

impl PackageError {
    /// The farm's word for this failure.
    pub fn reason(&self) -> FailureReason {
        match self {
            error if error.is_about_archive() => FailureReason::PackageInvalid,
            Self::RefusedUrl(_)
            | Self::NotPublic { .. }
            | Self::Unavailable { .. }
            | Self::TooLarge { .. }
            | Self::TimedOut { .. }
            | Self::Stalled { .. }
            | Self::Unsupported { .. }
            | Self::RefusedEntry { .. }
            | Self::RefusedArchive(_)
            | Self::BrokenArchive(_) => FailureReason::PackageUnavailable,
            // Without the directory there is no Dockerfile in it either.
            Self::DockerfileMissing { .. } | Self::ContextMissing { .. } => {
                FailureReason::DockerfileMissing
            }
            Self::OutsidePackage { .. } => FailureReason::JobFailed,
            Self::DiskFull => FailureReason::DiskFull,
            Self::Io(_) => FailureReason::RunnerFault,
        }
    }

    /// Whether the package came, and cannot be used: it would be the same if it were fetched again.
    pub fn is_about_archive(&self) -> bool {
        matches!(
            self,
            Self::TooLarge { .. }
                | Self::Unsupported { .. }
                | Self::RefusedEntry { .. }
                | Self::RefusedArchive(_)
                | Self::BrokenArchive(_)
                | Self::TimedOut {
                    what: "unpacking",
                    ..
                }
        )
    }
}

impl From<std::io::Error> for PackageError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Io(error),
        }
    }
}

impl From<nix::Error> for PackageError {
    fn from(error: nix::Error) -> Self {
        std::io::Error::from(error).into()
    }
}

/// A number of bytes, in words for a person.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: &[(u64, &str)] = &[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    UNITS
        .iter()
        .find(|(unit, _)| count >= *unit && count.is_multiple_of(*unit))
        .map_or_else(
            || format!("{count} bytes"),
            |(unit, name)| format!("{} {name}", count / unit),
        )
}

//! Errors of packages, with messages for the people who asked for the build.
//!
//! Messages never contain the login or query of a URL, nor the address of a host name, because these
//! people may be strangers to the operator.

use slipway_domain::FailureReason;

/// Why a package could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// Packages are not fetched from this kind of URL, for the given reason.
    #[error("the package URL is not allowed: {0}")]
    RefusedUrl(&'static str),
    #[error(
        "the package host {host} is not at a public address; packages are fetched only from public \
         addresses and from networks that the operator of this runner allows with \
         SLIPWAY_ALLOW_PACKAGE_NET"
    )]
    NotPublic {
        /// The host as written in the URL.
        host: String,
    },
    /// The server could not be reached or did not send the package.
    #[error("could not fetch the package {url}: {reason}")]
    Unavailable {
        /// Without login and query.
        url: String,
        reason: String,
    },
    #[error("the package is larger than {}", bytes(*.limit))]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    #[error("{what} the package took longer than {seconds} s")]
    TimedOut {
        /// "fetching" or "unpacking".
        what: &'static str,
        seconds: u64,
    },
    /// The server sent nothing for too long.
    #[error("could not fetch the package {url}: the server sent nothing for {seconds} s")]
    Stalled {
        /// Without login and query.
        url: String,
        seconds: u64,
    },
    #[error(
        "the package is {found}; supported are tar archives compressed with gzip, zip archives and \
         Dockerfiles"
    )]
    Unsupported {
        /// What it is instead, such as "a page of HTML or XML".
        found: String,
    },
    /// An entry of the archive is not allowed, so the whole archive is refused.
    #[error("the archive is refused: its entry \"{entry}\" {reason}")]
    RefusedEntry {
        /// The name of the entry, shortened and without control characters.
        entry: String,
        /// Continues the sentence after the name.
        reason: String,
    },
    /// The archive as a whole is not allowed. The text continues the sentence.
    #[error("the archive is refused: it {0}")]
    RefusedArchive(String),
    /// The archive is damaged or not an archive.
    #[error("the archive cannot be read: {0}")]
    BrokenArchive(String),
    #[error("{path} leads out of the package; the Dockerfile and the context must be inside it")]
    OutsidePackage {
        /// As given in the request.
        path: String,
    },
    #[error("the build context {path} is not a directory in the package")]
    ContextMissing {
        /// As given in the request.
        path: String,
    },
    #[error(
        "the package has no Dockerfile at {path}; correct the Dockerfile path or the subdirectory"
    )]
    DockerfileMissing {
        /// Relative to the root of the package.
        path: String,
    },
    #[error("could not store the package: the runner's disk is full")]
    DiskFull,
    /// A failure of the host, for instance because a directory could not be created.
    #[error("could not write the package to the runner's disk")]
    Io(#[source] std::io::Error),
}

impl PackageError {
    /// The failure reason of the job.
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
            // Without the context directory, the Dockerfile in it is missing too.
            Self::DockerfileMissing { .. } | Self::ContextMissing { .. } => {
                FailureReason::DockerfileMissing
            }
            Self::OutsidePackage { .. } => FailureReason::JobFailed,
            Self::DiskFull => FailureReason::DiskFull,
            Self::Io(_) => FailureReason::RunnerFault,
        }
    }

    /// Returns true if the package was fetched but cannot be used, so that fetching it again would not
    /// help.
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

/// Formats a number of bytes for people.
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

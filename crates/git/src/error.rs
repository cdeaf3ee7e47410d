//! Errors of git calls, with messages that a person can act on.

use std::fmt;

use slipway_domain::CommitSha;
use slipway_outbound::OutboundError;

/// Why a git operation failed.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The URL is invalid or not allowed. The text is the reason.
    #[error("the repository's address is refused: {0}")]
    RefusedUrl(&'static str),
    /// The server is unreachable, does not have the repository, or refused the credentials.
    #[error("could not read the repository {url}: {reason}")]
    RepositoryUnavailable {
        /// The URL, without credentials.
        url: String,
        /// The reason, without text of the server.
        reason: String,
    },
    /// No branch or tag of the repository contains the commit.
    #[error("the repository has no commit {sha}; was it pushed, or removed by a forced push?")]
    CommitMissing { sha: CommitSha },
    /// The ssh agent refused the deploy key.
    #[error(
        "the deploy key is invalid; expected a private key in OpenSSH format without a passphrase"
    )]
    RefusedKey,
    /// The submodules must not be checked out. The text is the reason.
    #[error("the submodules are refused: {0}")]
    RefusedSubmodules(&'static str),
    /// A submodule could not be checked out.
    #[error("the submodule {path}: {error}")]
    Submodule {
        /// Its path in the checkout.
        path: String,
        error: Box<GitError>,
    },
    /// Files in Git LFS could not be fetched.
    #[error("could not fetch the Git LFS files of {url}: {reason}")]
    LargeFiles {
        /// The URL of the repository, without credentials.
        url: String,
        /// The reason, without text of the server.
        reason: String,
    },
    /// `ssh-agent` is missing or does not work.
    #[error("could not start ssh-agent; install the OpenSSH client on this host")]
    SshMissing,
    /// `git` is missing.
    #[error("could not start git; install it on this host")]
    GitMissing(#[source] std::io::Error),
    /// The server was too slow.
    #[error("git timed out after {seconds} s")]
    TimedOut {
        /// The time limit.
        seconds: u64,
    },
    /// The disk is full.
    #[error("could not store the sources: the disk is full")]
    DiskFull,
    /// The operating system refused an operation, such as creating a directory.
    #[error("could not read or write the directory of the sources")]
    Io(#[source] std::io::Error),
}

impl From<std::io::Error> for GitError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull => Self::DiskFull,
            _ => Self::Io(error),
        }
    }
}

/// Why a git command failed, from its output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GitFailure {
    /// The server only serves the commits that refs point to.
    Unadvertised,
    /// The server does not have the commit or the ref.
    Missing,
    /// The disk of this host is full.
    DiskFull,
    /// The server refuses to leave out files.
    FilterRefused,
    /// Anything else, with the reason.
    Other(String),
}

impl GitFailure {
    /// Reads the standard error of git, whose messages are in English because of `LC_ALL=C`.
    ///
    /// The output also contains text of the server, which may be a service inside of the operator's
    /// network. So no part of it is passed on, except for the digits of an HTTP status.
    pub(crate) fn from_stderr(stderr: &str) -> Self {
        let contains = |text: &str| stderr.contains(text);
        // Order matters: a full disk also causes the other messages.
        if contains("No space left on device") {
            Self::DiskFull
        } else if contains("not our ref") || contains("couldn't find remote ref") {
            Self::Missing
        } else if contains("unadvertised object") || contains("does not support shallow") {
            Self::Unadvertised
        } else if let Some(reason) = ssh_failure(stderr).or_else(|| http_failure(stderr)) {
            Self::Other(reason.to_owned())
        } else if let Some(status) = http_status(stderr) {
            Self::Other(match status {
                300..=399 => format!(
                    "the server redirects (status {status}); use the URL that it redirects to"
                ),
                404 => "the server has no such repository (status 404)".to_owned(),
                _ => format!("the server answered with status {status}"),
            })
        } else if contains("filter") {
            Self::FilterRefused
        } else {
            let known = REASONS
                .iter()
                .find(|(texts, _)| texts.iter().any(|text| contains(text)));
            Self::Other(known.map_or(UNKNOWN, |(_, reason)| reason).to_owned())
        }
    }

    /// The failure as text.
    pub(crate) fn into_reason(self) -> String {
        match self {
            Self::Other(reason) => reason,
            Self::DiskFull => "the disk is full".to_owned(),
            Self::Missing | Self::Unadvertised => "the server does not have them".to_owned(),
            Self::FilterRefused => "the server does not support filters".to_owned(),
        }
    }
}

impl From<OutboundError> for GitFailure {
    fn from(error: OutboundError) -> Self {
        Self::Other(error.to_string())
    }
}

/// The error of fetching the commit `sha` from `url`.
pub(crate) fn fetch_error(
    url: &impl fmt::Display,
    sha: &CommitSha,
    failure: GitFailure,
) -> GitError {
    match failure {
        GitFailure::DiskFull => GitError::DiskFull,
        GitFailure::Missing | GitFailure::Unadvertised => {
            GitError::CommitMissing { sha: sha.clone() }
        }
        failure => GitError::RepositoryUnavailable {
            url: url.to_string(),
            reason: failure.into_reason(),
        },
    }
}

/// Explains a failure of ssh with the host key or the login.
fn ssh_failure(stderr: &str) -> Option<&'static str> {
    let contains = |text: &str| stderr.contains(text);
    if contains("IDENTIFICATION HAS CHANGED") {
        Some("the host key of the server is not the one that is known for it")
    } else if contains("host key is known for") || contains("Host key verification failed") {
        Some("the host key of the server is not among the known hosts")
    } else if contains("Permission denied (") {
        Some("the server refused the login; does it know the project's deploy key?")
    } else {
        None
    }
}

/// Explains a failure of a login over HTTP.
fn http_failure(stderr: &str) -> Option<&'static str> {
    let contains = |text: &str| stderr.contains(text);
    let refused = contains("could not read Username for") || contains("Authentication failed for");
    refused.then_some("the server wants a login; set or correct the project's deploy token")
}

/// The HTTP status that the server answered with.
fn http_status(stderr: &str) -> Option<u16> {
    let (_, rest) = stderr.split_once("The requested URL returned error: ")?;
    let status = rest.get(..3)?.parse().ok()?;
    (100..=599).contains(&status).then_some(status)
}

/// What git prints for common failures, and how they are reported. The first match counts.
const REASONS: &[(&[&str], &str)] = &[
    (
        &["Could not resolve host", "unable to look up"],
        "the host name cannot be resolved",
    ),
    (
        &[
            "SSL certificate",
            "certificate verif",
            "SSL routines",
            "TLS connect",
            "gnutls",
        ],
        "the TLS certificate of the server is not trusted, or the server does not speak TLS",
    ),
    (
        &["timed out", "Operation too slow"],
        "the server did not answer in time",
    ),
    (
        &[
            "Connection refused",
            "Failed to connect",
            "unable to connect",
            "No route to host",
        ],
        "the server cannot be reached",
    ),
    (
        &[
            "not valid: is this a git repository",
            "invalid server response",
            "protocol error",
        ],
        "the server does not answer like a git server",
    ),
    (
        &[
            "' not found",
            "does not appear to be a git repository",
            "does not exist",
        ],
        "the server has no such repository",
    ),
    (
        &[
            "early EOF",
            "hung up",
            "Connection reset",
            "Connection closed",
            "unexpected disconnect",
        ],
        "the server closed the connection",
    ),
    (
        &["index-pack", "bad object", "unable to parse", "fsck"],
        "the server sent invalid objects",
    ),
    (
        &["Could not read from remote repository"],
        "the server refused to serve the repository",
    ),
    (
        &["remote error", "ERROR:"],
        "the server refused the request",
    ),
    (
        &[
            "unable to create file",
            "unable to checkout",
            "File name too long",
        ],
        "a file of the commit cannot be created on this host",
    ),
];

/// The reason for any other failure.
const UNKNOWN: &str = "git failed";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_classified_by_the_output_of_git() {
        let read = GitFailure::from_stderr;
        assert_eq!(
            read("error: Server does not allow request for unadvertised object 12"),
            GitFailure::Unadvertised
        );
        assert_eq!(
            read("fatal: remote error: upload-pack: not our ref 12"),
            GitFailure::Missing
        );
        assert_eq!(
            read("fatal: write error: No space left on device"),
            GitFailure::DiskFull
        );
        assert_eq!(
            read("fatal: remote error: filter 'tree' not supported"),
            GitFailure::FilterRefused
        );
        assert_eq!(read(""), GitFailure::Other("git failed".to_owned()));
        let other = |stderr: &str| match read(stderr) {
            GitFailure::Other(why) => why,
            failure => panic!("{failure:?}"),
        };
        let end = "fatal: Could not read from remote repository.\n";
        let refused = format!("git@h: Permission denied (publickey).\n{end}");
        assert!(other(&refused).contains("deploy key"));
        let changed = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n";
        let changed = format!("{changed}Host key verification failed.\n{end}");
        assert!(other(&changed).contains("not the one that is known"));
        let away = format!("ssh: connect to host h port 22: Connection refused\n{end}");
        assert!(other(&away).contains("cannot be reached"));
        let moved = "fatal: unable to access 'http://h/': The requested URL returned error: 301\n";
        assert!(other(moved).contains("redirects (status 301)"));
        let not_found = "fatal: repository 'http://h/x.git/' not found\n";
        assert!(other(not_found).contains("no such repository"));
        let login = "fatal: could not read Username for 'http://h': terminal prompts disabled\n";
        assert!(other(login).contains("deploy token"));
    }
    #[test]
    fn what_a_server_sent_is_not_part_of_the_reason() {
        for stderr in [
            "remote: SECRET\nfatal: unable to access 'http://h/': The requested URL returned error: 500",
            "fatal: The requested URL returned error: SECRET",
            "fatal: remote error: SECRET",
            "ERROR: SECRET",
            "fatal: protocol error: bad line length character: SECRET",
            "fatal: invalid server response; got 'SECRET'",
            "fatal: SECRET",
            "SECRET",
            "ssh: SECRET",
            "fatal: remote error: filter SECRET",
            "fatal: could not read Username for 'SECRET'",
        ] {
            let reason = GitFailure::from_stderr(stderr).into_reason();
            assert!(!reason.is_empty() && !reason.contains("SECRET"), "{reason}");
        }
    }
}

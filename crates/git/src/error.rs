//! What can go wrong with a repository, told so that somebody can act on it.

use slipway_domain::CommitSha;

/// Why git did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The address is not one that git may be sent to. The text says why.
    #[error("the repository's address is refused: {0}")]
    RefusedUrl(&'static str),
    /// The remote could not be reached, does not know the repository, or wants another login.
    #[error("the repository {url} could not be read: {reason}")]
    RepositoryUnavailable {
        /// The address, without a login.
        url: String,
        /// What git said.
        reason: String,
    },
    /// The repository has no such commit, on any branch or tag.
    #[error("the repository has no commit {sha}; was it pushed, or removed by a forced push?")]
    CommitMissing {
        /// The commit that was asked for.
        sha: CommitSha,
    },
    /// There is no `git` on this host.
    #[error("the git command line could not be started; install git on this host")]
    GitMissing(#[source] std::io::Error),
    /// The remote was too slow.
    #[error("git took longer than {seconds} s")]
    TimedOut {
        /// The limit.
        seconds: u64,
    },
    /// There is no room for the sources.
    #[error("the disk is full: there is no room for the sources")]
    DiskFull,
    /// The host did not let us work, for instance because a directory could not be made.
    #[error("the place for the sources could not be used")]
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

/// How a git command that ran to its end had failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The server hands out the tips of its refs only.
    Unadvertised,
    /// The server does not have the commit, or the ref.
    NotThere,
    /// There is no room.
    DiskFull,
    /// Anything else: the line that says why.
    Other(String),
}

impl Refusal {
    /// Reads what git wrote to its standard error; git is run with plain English messages.
    pub(crate) fn read(stderr: &str) -> Self {
        let says = |text: &str| stderr.contains(text);
        if says("No space left on device") {
            Self::DiskFull
        } else if says("not our ref") || says("couldn't find remote ref") {
            Self::NotThere
        } else if says("unadvertised object") || says("does not support shallow") {
            Self::Unadvertised
        } else {
            Self::Other(telling_line(stderr))
        }
    }
}

/// The line of git's output that tells most: its first fatal one, else its last.
fn telling_line(stderr: &str) -> String {
    let mut lines = stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let telling = lines
        .clone()
        .find(|line| line.starts_with("fatal:") || line.starts_with("ERROR:"))
        .or_else(|| lines.next_back())
        .unwrap_or("git gave no reason");
    let telling = telling.trim_start_matches("fatal:").trim();
    telling.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let read = Refusal::read;
        assert_eq!(
            read("error: Server does not allow request for unadvertised object 12"),
            Refusal::Unadvertised
        );
        assert_eq!(
            read("fatal: remote error: upload-pack: not our ref 12"),
            Refusal::NotThere
        );
        assert_eq!(
            read("fatal: write error: No space left on device"),
            Refusal::DiskFull
        );
        assert_eq!(
            read("warning: x\nfatal: unable to access 'http://h/': refused\n"),
            Refusal::Other("unable to access 'http://h/': refused".to_owned())
        );
        assert_eq!(read(""), Refusal::Other("git gave no reason".to_owned()));
    }
}

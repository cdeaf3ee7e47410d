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
    /// The agent does not take the deploy key.
    #[error(
        "the deploy key cannot be used: is it a private key in OpenSSH's form, without a passphrase?"
    )]
    RefusedKey,
    /// The repository wants submodules that nobody should check out. The text says why.
    #[error("the submodules are refused: {0}")]
    RefusedSubmodules(&'static str),
    /// A submodule cannot be had.
    #[error("the submodule {path}: {error}")]
    Submodule {
        /// Where it belongs in the checkout.
        path: String,
        /// What is wrong with it.
        error: Box<GitError>,
    },
    /// Files that are kept with Git LFS cannot be had.
    #[error("the files that {url} keeps with Git LFS could not be fetched: {reason}")]
    LargeFiles {
        /// The address of the repository, without a login.
        url: String,
        /// What git-lfs said.
        reason: String,
    },
    /// There is no `ssh-agent` on this host, or it does not run.
    #[error("no ssh agent could be started; install the OpenSSH client on this host")]
    SshMissing,
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
        } else if let Some(why) = ssh_refusal(stderr).or_else(|| http_refusal(stderr)) {
            Self::Other(why.to_owned())
        } else {
            Self::Other(telling_line(stderr))
        }
    }
}

impl Refusal {
    /// What was said, for where nothing else is of interest.
    pub(crate) fn into_reason(self) -> String {
        match self {
            Self::Other(reason) => reason,
            Self::DiskFull => "there is no room".to_owned(),
            Self::NotThere | Self::Unadvertised => "the server does not have them".to_owned(),
        }
    }
}

/// What ssh says of a server or a key, in words that say what to do.
fn ssh_refusal(stderr: &str) -> Option<&'static str> {
    let says = |text: &str| stderr.contains(text);
    if says("IDENTIFICATION HAS CHANGED") {
        Some("the host key of the server is not the one that is known of it")
    } else if says("host key is known for") || says("Host key verification failed") {
        Some("the host key of the server is not among the known hosts")
    } else if says("Permission denied (") {
        Some("the server refused the login; does it know the project's deploy key?")
    } else {
        None
    }
}

fn http_refusal(stderr: &str) -> Option<&'static str> {
    let says = |text: &str| stderr.contains(text);
    let refused = says("could not read Username for") || says("Authentication failed for");
    refused.then_some("the server wants a login, or another one; has the project a deploy token?")
}

/// The line of git's output that tells most: what ssh said, else its first fatal one, else its last.
fn telling_line(stderr: &str) -> String {
    let mut lines = stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let telling = lines
        .clone()
        .find(|line| line.starts_with("ssh: "))
        .or_else(|| {
            let mut fatal = lines.clone();
            fatal.find(|line| line.starts_with("fatal:") || line.starts_with("ERROR:"))
        })
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
        let other = |stderr: &str| match read(stderr) {
            Refusal::Other(why) => why,
            refusal => panic!("{refusal:?}"),
        };
        let end = "fatal: Could not read from remote repository.\n";
        let refused = format!("git@h: Permission denied (publickey).\n{end}");
        assert!(other(&refused).contains("deploy key"));
        let changed = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n";
        let changed = format!("{changed}Host key verification failed.\n{end}");
        assert!(other(&changed).contains("not the one that is known"));
        let away = format!("ssh: connect to host h port 22: Connection refused\n{end}");
        assert!(other(&away).contains("Connection refused"));
        let login = "fatal: could not read Username for 'http://h': terminal prompts disabled\n";
        assert!(other(login).contains("deploy token"));
    }
}

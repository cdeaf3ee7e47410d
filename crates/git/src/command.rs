//! One call of the `git` command line: its environment, its time limit and its result.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use slipway_outbound::Outbound;
use slipway_process_group::ProcessGroup;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use crate::connection::Connection;
use crate::error::{GitError, GitFailure};
use crate::remote::RemoteUrl;

/// How much of git's output is kept, in bytes.
const MAX_OUTPUT: u64 = 4 * 1024 * 1024;

/// Settings for every call. They override anything in a repository.
const SETTINGS: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.askPass", ""),
    ("credential.helper", ""),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    // A redirect would carry the credentials of one server to another.
    ("http.followRedirects", "false"),
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
    ("gc.auto", "0"),
    // Repositories here are deleted with their job, so repacking and syncing them is wasted work.
    ("fetch.unpackLimit", "1"),
    ("core.fsync", "none"),
    ("maintenance.auto", "false"),
    ("advice.detachedHead", "false"),
    ("init.defaultBranch", "main"),
];

/// The variables of our environment that git needs to be found and to check certificates. Proxies are
/// not among them: `slipway_outbound` connects through them.
const INHERITED: &[&str] = &["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Time limits of git calls.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For one call that transfers a repository.
    pub fetch: Duration,
    /// For one call that resolves refs or describes a commit.
    pub resolve: Duration,
    /// For one call that fetches a commit to read a file of it. Servers without support for filters
    /// send all its files.
    pub file: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fetch: Duration::from_secs(1800),
            resolve: Duration::from_secs(30),
            file: Duration::from_secs(600),
        }
    }
}

/// The `git` command line, with an empty temporary home directory.
///
/// Dropping the future of any call kills git and all that it started.
#[derive(Debug)]
pub struct Git {
    home: TempDir,
    /// The file for the host keys of ssh servers.
    known_hosts: Option<PathBuf>,
    pub(crate) limits: Limits,
    pub(crate) outbound: Outbound,
}

/// The standard output of a call, or why it failed.
pub(crate) type Output = Result<String, GitFailure>;

impl Git {
    /// Creates a temporary home directory for git, which connects through `outbound` only.
    ///
    /// # Errors
    /// Returns `Io` or `DiskFull` if the directory cannot be created.
    pub fn new(limits: Limits, outbound: Outbound) -> Result<Self, GitError> {
        let home = tempfile::Builder::new()
            .prefix("slipway-git-")
            .tempdir()
            .map_err(GitError::from)?;
        Ok(Self {
            home,
            known_hosts: None,
            limits,
            outbound,
        })
    }

    /// Stores the host keys of ssh servers in `file` when they are first seen. A different key is
    /// then refused, also after a restart.
    #[must_use]
    pub fn with_known_hosts(mut self, file: PathBuf) -> Self {
        self.known_hosts = Some(file);
        self
    }

    /// The home directory of git and its helpers. It is deleted with this value.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Creates a temporary directory for a repository.
    pub(crate) fn temporary(&self) -> Result<TempDir, GitError> {
        let created = tempfile::Builder::new()
            .prefix("repository-")
            .tempdir_in(self.home.path());
        Ok(created?)
    }

    /// The version of git on this host, for instance `2.47.3`.
    ///
    /// # Errors
    /// Returns `GitMissing` if git is not installed.
    pub async fn version(&self) -> Result<String, GitError> {
        let call = self.call(None, None, self.limits.resolve, ["--version"]);
        let text = call.await?.unwrap_or_default();
        Ok(text.trim().trim_start_matches("git version ").to_owned())
    }

    /// The file for the host keys of ssh servers that are first seen.
    pub(crate) fn first_seen_hosts(&self) -> PathBuf {
        let in_home = || self.home.path().join("known_hosts");
        self.known_hosts.clone().unwrap_or_else(in_home)
    }

    /// Runs git with `args` in the directory `dir`, with the credentials for `remote`. Without
    /// `remote`, git cannot connect to any server.
    ///
    /// `dir` is a directory that this crate created and into which only git wrote since: git runs
    /// commands that the configuration of a repository names.
    pub(crate) async fn call<I, S>(
        &self,
        dir: Option<&Path>,
        remote: Option<&RemoteUrl>,
        limit: Duration,
        args: I,
    ) -> Result<Output, GitError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let connection = match remote {
            None => Connection::none(),
            Some(remote) => {
                // Resolving a name and starting an agent may hang as well.
                let opening = tokio::time::timeout(limit, self.connection(remote, limit));
                match opening.await.map_err(|_| timed_out(limit))?? {
                    Ok(connection) => connection,
                    Err(error) => return Ok(Err(error.into())),
                }
            }
        };
        let mut command = self.command(dir, &connection);
        command.args(args);
        let output = run(command, limit).await?;
        Ok(output.map_err(|stderr| match connection.failure() {
            // The words of git for this are those of its library, and differ with its version.
            Some(error) => error.into(),
            None => GitFailure::from_stderr(&stderr),
        }))
    }

    fn command(&self, dir: Option<&Path>, connection: &Connection) -> Command {
        let mut command = Command::new("git");
        // Variables such as `GIT_DIR` or `GIT_CONFIG` of our own environment could change any call.
        command.env_clear();
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("HOME", self.home.path())
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            // Objects that a filter left out must not be fetched implicitly, without a limit.
            .env("GIT_NO_LAZY_FETCH", "1");
        connection.set_environment(&mut command);
        // Settings in the environment do not show up in the process list, unlike `-c` arguments.
        let fixed = SETTINGS
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let mut count = 0;
        for (key, value) in fixed.chain(connection.settings()) {
            command.env(format!("GIT_CONFIG_KEY_{count}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        // Calls without a repository run in a directory that has none.
        let dir = dir.unwrap_or(self.home.path());
        command.current_dir(dir);
        // A repository in a directory above, which others may be able to write, must not count.
        if let Some(above) = dir.parent() {
            command.env("GIT_CEILING_DIRECTORIES", above);
        }
        command
    }
}

fn timed_out(limit: Duration) -> GitError {
    GitError::TimedOut {
        seconds: limit.as_secs(),
    }
}

/// Runs a command to its end. Returns its standard output, or its standard error if it failed.
///
/// # Errors
/// Returns `GitMissing` if the program is not installed, and `TimedOut`.
pub(crate) async fn run(
    mut command: Command,
    limit: Duration,
) -> Result<Result<String, String>, GitError> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own group, so that the guard can kill the helpers as well.
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => GitError::GitMissing(error),
        _ => GitError::from(error),
    })?;
    // It kills git and its helpers if the call times out or is dropped.
    let mut group = ProcessGroup::led_by(child.id());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let (stdout, stderr, status) =
            tokio::join!(read_limited(stdout), read_limited(stderr), child.wait());
        Ok::<_, std::io::Error>((stdout?, stderr?, status?))
    };
    let (stdout, stderr, status) = match tokio::time::timeout(limit, work).await {
        Ok(done) => done?,
        Err(_) => return Err(timed_out(limit)),
    };
    group.disarm();
    if status.success() {
        return Ok(Ok(stdout));
    }
    tracing::debug!(code = ?status.code(), "git failed");
    Ok(Err(stderr))
}

async fn read_limited(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        (&mut pipe).take(MAX_OUTPUT).read_to_end(&mut kept).await?;
        // The rest is read and dropped: git would block on a full pipe.
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

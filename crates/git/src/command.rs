//! One call of the `git` command line: its environment, its time limit and its result.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use slipway_process_group::ProcessGroup;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::error::{GitError, GitFailure};
use crate::remote::RemoteUrl;
use crate::ssh::Ssh;

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
    // A redirect could lead from a public address into a private network.
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

/// The variables of our environment that git needs to be found and to reach the network.
const INHERITED: &[&str] = &[
    "PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
];

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
    pub(crate) has_lfs: OnceCell<bool>,
}

/// The standard output of a call, or why it failed.
pub(crate) type Output = Result<String, GitFailure>;

impl Git {
    /// Creates a temporary home directory for git.
    ///
    /// # Errors
    /// Returns `Io` or `DiskFull` if the directory cannot be created.
    pub fn new(limits: Limits) -> Result<Self, GitError> {
        let home = tempfile::Builder::new()
            .prefix("slipway-git-")
            .tempdir()
            .map_err(GitError::from)?;
        Ok(Self {
            home,
            known_hosts: None,
            limits,
            has_lfs: OnceCell::new(),
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

    /// Runs git with `args` in the directory `dir`, with the credentials for `remote`.
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
        self.call_with(dir, remote, limit, &[], args).await
    }

    /// Like [`call`](Self::call), with additional settings.
    pub(crate) async fn call_with<I, S>(
        &self,
        dir: Option<&Path>,
        remote: Option<&RemoteUrl>,
        limit: Duration,
        settings: &[(&str, &str)],
        args: I,
    ) -> Result<Output, GitError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let timed_out = || GitError::TimedOut {
            seconds: limit.as_secs(),
        };
        // Starting an agent may hang as well, so it has the same limit.
        let ssh = tokio::time::timeout(limit, self.ssh(remote, limit));
        let ssh = ssh.await.map_err(|_| timed_out())??;
        let mut command = self.command(dir, remote, ssh.as_ref(), settings);
        command.args(args);
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
            Err(_) => return Err(timed_out()),
        };
        group.disarm();
        if status.success() {
            return Ok(Ok(stdout));
        }
        tracing::debug!(code = ?status.code(), "git failed");
        Ok(Err(GitFailure::from_stderr(&stderr)))
    }

    /// The ssh command for `remote`, if its URL is an ssh URL.
    async fn ssh(
        &self,
        remote: Option<&RemoteUrl>,
        limit: Duration,
    ) -> Result<Option<Ssh>, GitError> {
        let Some(identity) = remote.and_then(RemoteUrl::identity) else {
            return Ok(None);
        };
        let in_home = || self.home.path().join("known_hosts");
        let first_seen = self.known_hosts.clone().unwrap_or_else(in_home);
        let prepared = Ssh::prepare(identity, self.home.path(), &first_seen, limit);
        prepared.await.map(Some)
    }

    fn command(
        &self,
        dir: Option<&Path>,
        remote: Option<&RemoteUrl>,
        ssh: Option<&Ssh>,
        settings: &[(&str, &str)],
    ) -> Command {
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
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "http:https:ssh:git")
            // Without credentials for ssh, ssh is not used at all.
            .env("GIT_SSH_COMMAND", ssh.map_or("false", Ssh::command));
        if remote.is_some_and(RemoteUrl::uses_host_keys)
            && let Some(agent) = std::env::var_os("SSH_AUTH_SOCK")
        {
            command.env("SSH_AUTH_SOCK", agent);
        }
        // Settings in the environment do not show up in the process list, unlike `-c` arguments.
        let login = remote.and_then(RemoteUrl::login_setting);
        let fixed = SETTINGS
            .iter()
            .chain(settings)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let mut count = 0;
        for (key, value) in fixed.chain(login) {
            command.env(format!("GIT_CONFIG_KEY_{count}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        if let Some(dir) = dir {
            command.current_dir(dir);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Its own group, so that the guard can kill the helpers as well.
            .process_group(0)
            .kill_on_drop(true);
        command
    }
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

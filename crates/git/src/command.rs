//! One call of the `git` command line: its environment, its limits and its end.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::error::{GitError, Refusal};
use crate::remote::RemoteUrl;
use crate::ssh::Ssh;

/// How much of git's output is kept, in bytes.
const MAX_OUTPUT: u64 = 4 * 1024 * 1024;

/// Settings for every call. They stand above all that a repository could bring.
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
    // What is fetched here is thrown away with its job: it is neither packed anew nor written for
    // eternity.
    ("fetch.unpackLimit", "1"),
    ("core.fsync", "none"),
    ("maintenance.auto", "false"),
    ("advice.detachedHead", "false"),
    ("init.defaultBranch", "main"),
];

/// What of our own environment git needs: to be found, and to reach the network.
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

/// How long git may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For one call that transfers a repository.
    pub fetch: Duration,
    /// For one call that only asks where refs point, or what a commit is.
    pub resolve: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fetch: Duration::from_secs(1800),
            resolve: Duration::from_secs(30),
        }
    }
}

/// The `git` command line, with an empty home of its own that is removed with this value.
///
/// Dropping the future of any call kills git and all that it started.
#[derive(Debug)]
pub struct Git {
    home: TempDir,
    /// The keys of the servers behind ssh that were met so far.
    known_hosts: Option<PathBuf>,
    pub(crate) limits: Limits,
    pub(crate) has_lfs: OnceCell<bool>,
}

/// What a call that succeeded wrote to its standard output.
pub(crate) type Answer = Result<String, Refusal>;

impl Git {
    /// Makes git a home.
    ///
    /// # Errors
    /// `Io` or `DiskFull` when no temporary directory can be made.
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

    /// The same with a file in which the keys of servers behind ssh are noted when they are met for
    /// the first time, so that another key is refused from then on, after a restart as well.
    #[must_use]
    pub fn with_known_hosts(mut self, file: PathBuf) -> Self {
        self.known_hosts = Some(file);
        self
    }

    /// Where git and its helpers keep what they need; goes with this value.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A directory of its own for what is looked at and thrown away.
    pub(crate) fn temporary(&self) -> Result<TempDir, GitError> {
        let made = tempfile::Builder::new()
            .prefix("look-")
            .tempdir_in(self.home.path());
        Ok(made?)
    }

    /// The version of git on this host, for instance `2.47.3`.
    ///
    /// # Errors
    /// `GitMissing` when there is none.
    pub async fn version(&self) -> Result<String, GitError> {
        let call = self.call(None, None, self.limits.resolve, ["--version"]);
        let text = call.await?.unwrap_or_default();
        Ok(text.trim().trim_start_matches("git version ").to_owned())
    }

    /// Runs git with `args`; `remote` is given its login, `dir` is where git works.
    pub(crate) async fn call<I, S>(
        &self,
        dir: Option<&Path>,
        remote: Option<&RemoteUrl>,
        limit: Duration,
        args: I,
    ) -> Result<Answer, GitError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.call_with(dir, remote, limit, &[], args).await
    }

    /// The same with more settings.
    pub(crate) async fn call_with<I, S>(
        &self,
        dir: Option<&Path>,
        remote: Option<&RemoteUrl>,
        limit: Duration,
        settings: &[(&str, &str)],
        args: I,
    ) -> Result<Answer, GitError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let late = || GitError::TimedOut {
            seconds: limit.as_secs(),
        };
        let ssh = tokio::time::timeout(limit, self.ssh(remote, limit));
        let ssh = ssh.await.map_err(|_| late())??;
        let mut command = self.command(dir, remote, ssh.as_ref(), settings);
        command.args(args);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => GitError::GitMissing(error),
            _ => GitError::from(error),
        })?;
        let mut group = ProcessGroup(child.id());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let work = async {
            let (stdout, stderr, status) =
                tokio::join!(read_some(stdout), read_some(stderr), child.wait());
            Ok::<_, std::io::Error>((stdout?, stderr?, status?))
        };
        let (stdout, stderr, status) = match tokio::time::timeout(limit, work).await {
            Ok(done) => done?,
            Err(_) => return Err(late()),
        };
        group.0 = None;
        if status.success() {
            return Ok(Ok(stdout));
        }
        tracing::debug!(code = ?status.code(), "git ended without success");
        Ok(Err(Refusal::read(&stderr)))
    }

    /// What is needed to go to `remote`, if the way there is ssh.
    async fn ssh(
        &self,
        remote: Option<&RemoteUrl>,
        limit: Duration,
    ) -> Result<Option<Ssh>, GitError> {
        let Some(identity) = remote.and_then(RemoteUrl::identity) else {
            return Ok(None);
        };
        let own = || self.home.path().join("known_hosts");
        let met = self.known_hosts.clone().unwrap_or_else(own);
        let prepared = Ssh::prepare(identity, self.home.path(), &met, limit);
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
            // What was left out of a fetch is not fetched behind its back.
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "http:https:ssh:git")
            // Whoever is to go through ssh says how.
            .env("GIT_SSH_COMMAND", ssh.map_or("false", Ssh::command));
        if remote.is_some_and(RemoteUrl::is_opened_by_the_host)
            && let Some(agent) = std::env::var_os("SSH_AUTH_SOCK")
        {
            command.env("SSH_AUTH_SOCK", agent);
        }
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
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// Kills git and its helpers when a call is given up before git ended by itself.
#[derive(Debug)]
pub(crate) struct ProcessGroup(pub(crate) Option<u32>);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        let leader = self.0.and_then(|id| i32::try_from(id).ok());
        if let Some(leader) = leader {
            // The group may be gone already, and then there is nothing left to do.
            let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
        }
    }
}

async fn read_some(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        (&mut pipe).take(MAX_OUTPUT).read_to_end(&mut kept).await?;
        // The rest is read and dropped, so that git does not wait for a reader.
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

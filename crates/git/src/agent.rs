//! How git goes through ssh: with which key, and what it takes for the right server.
//!
//! A deploy key is given to an `ssh-agent` of one call over a pipe. It is never on the disk, never
//! an argument, and goes with the agent when the call ends, or this process does.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::command::ProcessGroup;
use crate::error::GitError;
use crate::remote::{DeployKey, Identity};

/// Runs the agent until standard input ends, which it does when we do.
const KEEPER: &str = "(ssh-agent -D -t \"$1\" -a \"$2\" || echo none) & read -r _; kill 0";

/// What ssh is told in any case. The settings of the host's users play no part.
const OPTIONS: &str = "ssh -F /dev/null -oBatchMode=yes -oConnectTimeout=20 \
    -oServerAliveInterval=15 -oForwardAgent=no -oPermitLocalCommand=no -oUpdateHostKeys=no";

/// What ssh needs for one call, which goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Ssh {
    command: String,
    _agent: Option<Agent>,
}

impl Ssh {
    /// Prepares a call of at most `limit`; servers that were never met are noted in `met`.
    ///
    /// # Errors
    /// `SshMissing` without an agent on this host, `RefusedKey` for a key that it does not take.
    pub(crate) async fn prepare(
        identity: &Identity,
        home: &Path,
        met: &Path,
        limit: Duration,
    ) -> Result<Self, GitError> {
        let of_this_host = "-oStrictHostKeyChecking=accept-new";
        let met = quoted(met);
        match identity {
            // The keys of this host, or those of the agent that we were started with.
            Identity::Host => Ok(Self {
                command: format!(
                    "{OPTIONS} {of_this_host} '-oUserKnownHostsFile={met} ~/.ssh/known_hosts'"
                ),
                _agent: None,
            }),
            Identity::Nobody => Ok(Self {
                command: format!(
                    "{OPTIONS} {of_this_host} '-oUserKnownHostsFile={met}' \
                     -oIdentityAgent=none -oIdentityFile=none"
                ),
                _agent: None,
            }),
            Identity::Key(key) => {
                let agent = Agent::start(key, home, limit).await?;
                let trusted = match &key.known_hosts {
                    None => format!("{of_this_host} '-oUserKnownHostsFile={met}'"),
                    Some(lines) => {
                        let path = agent.place.path().join("known_hosts");
                        tokio::fs::write(&path, lines).await?;
                        format!(
                            "-oStrictHostKeyChecking=yes -oGlobalKnownHostsFile=/dev/null \
                             '-oUserKnownHostsFile={}'",
                            quoted(&path)
                        )
                    }
                };
                let socket = quoted(&agent.socket());
                Ok(Self {
                    command: format!(
                        "{OPTIONS} {trusted} '-oIdentityAgent={socket}' -oIdentityFile=none \
                         -oPreferredAuthentications=publickey"
                    ),
                    _agent: Some(agent),
                })
            }
        }
    }

    /// What git is to run as ssh.
    pub(crate) fn command(&self) -> &str {
        &self.command
    }
}

/// A path as ssh reads it in an option that stands between single quotes.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string().replace('%', "%%");
    format!("\"{}\"", path.replace('\'', "'\\''"))
}

/// An agent that knows one key.
#[derive(Debug)]
struct Agent {
    place: TempDir,
    /// Ends the agent when it is dropped.
    _group: ProcessGroup,
    _keeper: Child,
}

impl Agent {
    async fn start(key: &DeployKey, home: &Path, limit: Duration) -> Result<Self, GitError> {
        let place = tempfile::Builder::new().prefix("ssh-").tempdir_in(home)?;
        let socket = place.path().join("agent");
        let mut command = Command::new("sh");
        command
            .args(["-c", KEEPER, "sh", &limit.as_secs().max(1).to_string()])
            .arg(&socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let mut keeper = command.spawn()?;
        let group = ProcessGroup(keeper.id());
        let mut said = String::new();
        if let Some(stdout) = keeper.stdout.take() {
            // It says where it listens once it does.
            BufReader::new(stdout).read_line(&mut said).await?;
        }
        if !said.starts_with("SSH_AUTH_SOCK=") {
            return Err(GitError::SshMissing);
        }
        let agent = Self {
            place,
            _group: group,
            _keeper: keeper,
        };
        agent.take(key).await?;
        Ok(agent)
    }

    /// Hands the key over.
    async fn take(&self, key: &DeployKey) -> Result<(), GitError> {
        let mut command = Command::new("ssh-add");
        command
            .args(["-q", "-"])
            .env("SSH_AUTH_SOCK", self.socket())
            .env("SSH_ASKPASS_REQUIRE", "never")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|_| GitError::SshMissing)?;
        if let Some(mut stdin) = child.stdin.take() {
            let text = format!("{}\n", key.private.trim());
            // One that has seen enough closes its end, and how it ends says the rest.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        match child.wait().await?.success() {
            true => Ok(()),
            false => Err(GitError::RefusedKey),
        }
    }

    fn socket(&self) -> PathBuf {
        self.place.path().join("agent")
    }
}

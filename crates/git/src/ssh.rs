//! The ssh command that git uses: which key it logs in with, and which host keys it accepts.
//!
//! A deploy key is held by an agent that exists for one call of git.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use slipway_ssh_agent::{AgentError, SshAgent};

use crate::error::GitError;
use crate::remote::{Identity, RemoteUrl};

/// The options of every call. `-F /dev/null` ignores the configuration of the host's users.
const OPTIONS: &str = "ssh -F /dev/null -oBatchMode=yes -oConnectTimeout=20 \
    -oServerAliveInterval=15 -oForwardAgent=no -oPermitLocalCommand=no -oUpdateHostKeys=no";

/// The ssh command for one call. The agent ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Ssh {
    command: String,
    _agent: Option<SshAgent>,
}

impl Ssh {
    /// Prepares a call that takes at most `limit` and connects to `address`, whatever the name of the
    /// server resolves to by then. The host keys of new servers are added to the file `first_seen`.
    ///
    /// # Errors
    /// Returns `SshMissing` if this host has no agent, and `RefusedKey` if the agent refuses the key.
    pub(crate) async fn prepare(
        remote: &RemoteUrl,
        address: IpAddr,
        home: &Path,
        first_seen: &Path,
        limit: Duration,
    ) -> Result<Self, GitError> {
        let options = format!("{OPTIONS} {}", server(remote, address));
        let accept_new = "-oStrictHostKeyChecking=accept-new";
        let first_seen = quoted(first_seen);
        match remote.identity().unwrap_or(&Identity::None) {
            // ssh finds the keys of this host, or those in the agent that this process inherited.
            Identity::Host => Ok(Self {
                command: format!(
                    "{options} {accept_new} '-oUserKnownHostsFile={first_seen} ~/.ssh/known_hosts'"
                ),
                _agent: None,
            }),
            Identity::None => Ok(Self {
                command: format!(
                    "{options} {accept_new} '-oUserKnownHostsFile={first_seen}' \
                     -oIdentityAgent=none -oIdentityFile=none"
                ),
                _agent: None,
            }),
            Identity::Key(key) => {
                let agent = SshAgent::start(home, &key.private, limit).await?;
                let trusted = match &key.known_hosts {
                    None => format!("{accept_new} '-oUserKnownHostsFile={first_seen}'"),
                    Some(lines) => {
                        // The known hosts of this machine must not count: the project named all
                        // that are right.
                        let path = agent.dir().join("known_hosts");
                        tokio::fs::write(&path, lines).await?;
                        format!(
                            "-oStrictHostKeyChecking=yes -oGlobalKnownHostsFile=/dev/null \
                             '-oUserKnownHostsFile={}'",
                            quoted(&path)
                        )
                    }
                };
                let socket = quoted(agent.socket());
                Ok(Self {
                    command: format!(
                        "{options} {trusted} '-oIdentityAgent={socket}' -oIdentityFile=none \
                         -oPreferredAuthentications=publickey"
                    ),
                    _agent: Some(agent),
                })
            }
        }
    }

    /// The value of `GIT_SSH_COMMAND`.
    pub(crate) fn command(&self) -> &str {
        &self.command
    }
}

/// The options that replace the server's name by an address, but keep the name for its host key. The
/// parser of URLs accepts no character in a name that the shell or ssh would interpret.
fn server(remote: &RemoteUrl, address: IpAddr) -> String {
    let (host, port) = remote.endpoint();
    // As ssh itself names servers in `known_hosts`.
    let name = match port {
        22 => host.to_owned(),
        port => format!("[{host}]:{port}"),
    };
    format!("-oHostName={address} '-oHostKeyAlias={name}'")
}

/// Quotes a path for an ssh option that is itself between single quotes. ssh expands `%`.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string().replace('%', "%%");
    format!("\"{}\"", path.replace('\'', "'\\''"))
}

impl From<AgentError> for GitError {
    fn from(error: AgentError) -> Self {
        match error {
            AgentError::Unavailable(_) => Self::SshMissing,
            AgentError::RefusedKey => Self::RefusedKey,
            AgentError::Io(error) => error.into(),
        }
    }
}

//! How git goes through ssh: with which key, and what it takes for the right server.
//!
//! A deploy key is given to an agent of one call, and goes with it.

use std::path::Path;
use std::time::Duration;

use slipway_ssh_agent::{AgentError, SshAgent};

use crate::error::GitError;
use crate::remote::Identity;

/// What ssh is told in any case. The settings of the host's users play no part.
const OPTIONS: &str = "ssh -F /dev/null -oBatchMode=yes -oConnectTimeout=20 \
    -oServerAliveInterval=15 -oForwardAgent=no -oPermitLocalCommand=no -oUpdateHostKeys=no";

/// What ssh needs for one call, which goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Ssh {
    command: String,
    _agent: Option<SshAgent>,
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
                let agent = SshAgent::start(home, &key.private, limit).await?;
                let trusted = match &key.known_hosts {
                    None => format!("{of_this_host} '-oUserKnownHostsFile={met}'"),
                    Some(lines) => {
                        let path = agent.place().join("known_hosts");
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

impl From<AgentError> for GitError {
    fn from(error: AgentError) -> Self {
        match error {
            AgentError::Unavailable(_) => Self::SshMissing,
            AgentError::RefusedKey => Self::RefusedKey,
            AgentError::Io(error) => error.into(),
        }
    }
}

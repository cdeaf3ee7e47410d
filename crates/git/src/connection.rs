//! How one call of git reaches its server.
//!
//! Over HTTP, git connects through the local proxy of `slipway_outbound`. Over ssh and git's own
//! protocol, which have no proxy, it gets an address that was checked instead of the name.

use std::time::Duration;

use slipway_outbound::{OutboundError, Session};
use tokio::process::Command;

use crate::command::Git;
use crate::error::GitError;
use crate::remote::{Protocol, RemoteUrl};
use crate::ssh::Ssh;

/// The way to one server, for one call of git.
pub(crate) struct Connection {
    way: Way,
    settings: Vec<(String, String)>,
}

enum Way {
    None,
    Http(Session),
    Ssh {
        ssh: Box<Ssh>,
        uses_host_keys: bool,
    },
    /// With the host and port as the URL has them.
    Git(String),
}

impl Connection {
    /// No server at all.
    pub(crate) fn none() -> Self {
        Self {
            way: Way::None,
            settings: Vec::new(),
        }
    }

    /// Sets the variables that decide where git may connect to.
    pub(crate) fn set_environment(&self, command: &mut Command) {
        // An empty list allows no protocol.
        let protocols = match &self.way {
            Way::None => "",
            Way::Http(_) => "http:https",
            Way::Ssh { .. } => "ssh",
            Way::Git(_) => "git",
        };
        command.env("GIT_ALLOW_PROTOCOL", protocols);
        // Without credentials for ssh, ssh is not used at all.
        command.env("GIT_SSH_COMMAND", "false");
        match &self.way {
            Way::None | Way::Http(_) => {}
            Way::Ssh {
                ssh,
                uses_host_keys,
            } => {
                command.env("GIT_SSH_COMMAND", ssh.command());
                if *uses_host_keys && let Some(agent) = std::env::var_os("SSH_AUTH_SOCK") {
                    command.env("SSH_AUTH_SOCK", agent);
                }
            }
            // The server may serve several hosts, so it gets the name.
            Way::Git(host) => {
                command.env("GIT_OVERRIDE_VIRTUAL_HOST", host);
            }
        }
    }

    /// The settings for the server: the proxy and the credentials.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (String, String)> {
        self.settings.iter().cloned()
    }

    /// Why there was no connection to the server, if that is known better than git knows it.
    pub(crate) fn failure(&self) -> Option<OutboundError> {
        match &self.way {
            Way::Http(session) => session.failure(),
            Way::None | Way::Ssh { .. } | Way::Git(_) => None,
        }
    }
}

impl Git {
    /// Prepares the connection to a server for one call, which takes at most `limit`.
    pub(crate) async fn connection(
        &self,
        remote: &RemoteUrl,
        limit: Duration,
    ) -> Result<Result<Connection, OutboundError>, GitError> {
        let way = match remote.protocol() {
            Protocol::Http => Way::Http(self.outbound.session()),
            Protocol::Ssh => match self.ssh(remote, limit).await? {
                Ok(ssh) => Way::Ssh {
                    ssh: Box::new(ssh),
                    uses_host_keys: remote.uses_host_keys(),
                },
                Err(error) => return Ok(Err(error)),
            },
            Protocol::Git => {
                let (host, port) = remote.endpoint();
                let address = match self.outbound.one_address(host, port).await {
                    Ok(address) => address,
                    Err(error) => return Ok(Err(error)),
                };
                let authority = remote.authority();
                return Ok(Ok(Connection {
                    settings: vec![(
                        format!("url.git://{address}/.insteadOf"),
                        format!("git://{authority}/"),
                    )],
                    way: Way::Git(authority.to_owned()),
                }));
            }
        };
        let proxy = match &way {
            Way::Http(session) => Some(("http.proxy".to_owned(), session.proxy_url())),
            _ => None,
        };
        let settings = proxy.into_iter().chain(remote.login_setting()).collect();
        Ok(Ok(Connection { way, settings }))
    }

    /// The ssh command for an ssh URL.
    pub(crate) async fn ssh(
        &self,
        remote: &RemoteUrl,
        limit: Duration,
    ) -> Result<Result<Ssh, OutboundError>, GitError> {
        let (host, port) = remote.endpoint();
        let address = match self.outbound.one_address(host, port).await {
            Ok(address) => address,
            Err(error) => return Ok(Err(error)),
        };
        let first_seen = self.first_seen_hosts();
        let prepared = Ssh::prepare(remote, address.ip(), self.home(), &first_seen, limit);
        prepared.await.map(Ok)
    }
}

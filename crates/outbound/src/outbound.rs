//! Resolving a name, checking its addresses, and connecting to one of them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::{OutboundError, StartError};
use crate::policy::{NetworkPolicy, literal};
use crate::resolver::{Resolver, SystemResolver};
use crate::session::{LocalProxy, Session, Sessions};
use crate::socks;
use crate::upstream::UpstreamProxy;

/// How long connecting to one address may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How many addresses of a name are tried.
const MAX_ADDRESSES: usize = 4;

/// Connects to servers that somebody else named. Clones share the policy and the local proxy.
#[derive(Clone)]
pub struct Outbound {
    inner: Arc<Inner>,
}

struct Inner {
    connector: Arc<Connector>,
    sessions: Arc<Sessions>,
    proxy: Arc<LocalProxy>,
}

/// What is needed to connect; shared with the local proxy.
pub(crate) struct Connector {
    policy: NetworkPolicy,
    resolver: Arc<dyn Resolver>,
    upstream: Option<UpstreamProxy>,
}

impl Outbound {
    /// Starts the local proxy on an ephemeral port of 127.0.0.1. Connections go through the proxy in
    /// `HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY`, if one is set and `NO_PROXY` does not match.
    ///
    /// # Errors
    /// `Listen`; `Proxy` if a proxy variable has an unsupported value.
    ///
    /// # Panics
    /// Panics if called outside of a Tokio runtime.
    pub fn start(policy: NetworkPolicy) -> Result<Self, StartError> {
        let upstream = UpstreamProxy::from_environment()?;
        Self::start_with(policy, Arc::new(SystemResolver), upstream)
    }

    /// Like [`Outbound::start`], with a resolver and a proxy of the caller.
    ///
    /// # Errors
    /// `Listen`.
    pub fn start_with(
        policy: NetworkPolicy,
        resolver: Arc<dyn Resolver>,
        upstream: Option<UpstreamProxy>,
    ) -> Result<Self, StartError> {
        let listen = || {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = listen().map_err(StartError::Listen)?;
        let connector = Arc::new(Connector {
            policy,
            resolver,
            upstream,
        });
        let sessions = Arc::new(Sessions::default());
        let serving = socks::serve(listener, Arc::clone(&connector), Arc::clone(&sessions));
        let task = slipway_tasks::spawn("outbound proxy", serving).abort_handle();
        let inner = Inner {
            connector,
            sessions,
            proxy: Arc::new(LocalProxy { address, task }),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The policy.
    pub fn policy(&self) -> &NetworkPolicy {
        &self.inner.connector.policy
    }

    /// The addresses of a server that may be connected to. `host` is a name or an address.
    ///
    /// # Errors
    /// `Refused` if there are only others; `Unresolved`.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, OutboundError> {
        self.inner.connector.addresses(host, port).await
    }

    /// An address of a server that may be connected to, for a program that takes only one. If there
    /// are several, it is one that accepts a connection.
    ///
    /// # Errors
    /// `Refused`, `Unresolved`; `Unreachable` if none of several accepts a connection.
    pub async fn one_address(&self, host: &str, port: u16) -> Result<SocketAddr, OutboundError> {
        let addresses = self.addresses(host, port).await?;
        match addresses.as_slice() {
            // The program finds out itself whether it is reachable.
            [only] => Ok(*only),
            several => {
                let (_, address) = connect_to(several)
                    .await
                    .ok_or_else(|| unreachable(host, port))?;
                Ok(address)
            }
        }
    }

    /// Checks that the registry at `host`, with an optional port, may be connected to. This is for
    /// clients in other processes, such as the Docker Engine, which may resolve the name differently.
    ///
    /// # Errors
    /// `Refused`. A name that cannot be resolved here is accepted: the engine may use a mirror.
    pub async fn check_registry(&self, registry: &str) -> Result<(), OutboundError> {
        let host_and_port = registry
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = host_and_port.unwrap_or((registry, 443));
        match self.addresses(host, port).await {
            Err(error) if error.is_refused() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// A session for programs and libraries that connect themselves.
    pub fn session(&self) -> Session {
        self.session_trusting(None)
    }

    /// Like [`Outbound::session`]. The session may also connect to `trusted`, a host and a port that
    /// the operator configured.
    pub fn session_trusting(&self, trusted: Option<(String, u16)>) -> Session {
        Session::open(&self.inner.sessions, Arc::clone(&self.inner.proxy), trusted)
    }
}

impl Connector {
    pub(crate) async fn addresses(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, OutboundError> {
        let found = self.resolve(host).await?;
        let with_port = found.iter().map(|ip| SocketAddr::new(*ip, port));
        let allowed: Vec<SocketAddr> = with_port
            .filter(|address| self.policy.allows(host, *address))
            .collect();
        if allowed.is_empty() {
            // The operator may see the addresses; the people who asked for the build may not.
            tracing::warn!(host, port, addresses = ?found,
                "Refused to connect to {host}: none of its addresses is allowed");
            return Err(OutboundError::Refused {
                host: host.to_owned(),
            });
        }
        Ok(allowed)
    }

    /// All addresses of a name, or the address that `host` is. There is at least one.
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, OutboundError> {
        if let Some(address) = literal(host) {
            return Ok(vec![address]);
        }
        let found = self.resolver.addresses(host.to_owned()).await;
        let found = found.unwrap_or_default();
        if found.is_empty() {
            return Err(OutboundError::Unresolved {
                host: host.to_owned(),
            });
        }
        Ok(found)
    }

    /// Connects to a server. `trusted` is a server that is allowed whatever its addresses are.
    pub(crate) async fn connect(
        &self,
        host: &str,
        port: u16,
        trusted: Option<&(String, u16)>,
    ) -> Result<TcpStream, OutboundError> {
        let is_trusted = trusted.is_some_and(|(name, trusted_port)| {
            let bare = |host: &str| {
                host.trim_start_matches('[')
                    .trim_end_matches(']')
                    .to_owned()
            };
            bare(name).eq_ignore_ascii_case(&bare(host)) && *trusted_port == port
        });
        let addresses = if is_trusted {
            let found = self.resolve(host).await;
            found.map(|found| found.iter().map(|ip| SocketAddr::new(*ip, port)).collect())
        } else {
            self.addresses(host, port).await
        };
        let upstream = self.upstream.as_ref().filter(|proxy| proxy.is_for(host));
        let Some(upstream) = upstream else {
            let connected = connect_to(&addresses?).await;
            return Ok(connected.ok_or_else(|| unreachable(host, port))?.0);
        };
        // Behind a proxy this host often cannot resolve public names. What it can resolve is checked.
        if let Err(error) = addresses
            && error.is_refused()
        {
            return Err(error);
        }
        upstream.connect(host, port).await.map_err(|error| {
            tracing::debug!(%error, host, port, "The proxy did not connect");
            OutboundError::Proxy {
                host: host.to_owned(),
            }
        })
    }
}

/// Connects to the first of these addresses that accepts a connection.
async fn connect_to(addresses: &[SocketAddr]) -> Option<(TcpStream, SocketAddr)> {
    for address in addresses.iter().take(MAX_ADDRESSES) {
        if let Ok(Ok(stream)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            return Some((stream, *address));
        }
    }
    None
}

fn unreachable(host: &str, port: u16) -> OutboundError {
    OutboundError::Unreachable {
        host: host.to_owned(),
        port,
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outbound({:?})", self.policy())
    }
}

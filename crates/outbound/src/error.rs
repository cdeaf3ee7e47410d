//! Why a connection was not made. Messages are for the people who asked for the build.
//!
//! They contain neither the addresses of a name nor anything that a server sent, because these people
//! may be strangers to the operator.

/// Why a connection was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The policy allows none of the server's addresses.
    #[error(
        "connections to {host} are not allowed; the operator of the farm can allow them with \
         SLIPWAY_ALLOW_NET"
    )]
    Refused {
        /// The host as it was named.
        host: String,
    },
    /// The name has no address.
    #[error("the host name {host} cannot be resolved")]
    Unresolved {
        /// The host as it was named.
        host: String,
    },
    /// The server does not accept connections.
    #[error("the server {host} cannot be reached at port {port}")]
    Unreachable {
        /// The host as it was named.
        host: String,
        port: u16,
    },
    /// The operator's proxy did not connect to the server.
    #[error("the proxy of this host does not connect to {host}")]
    Proxy {
        /// The host as it was named.
        host: String,
    },
}

impl OutboundError {
    /// Whether the policy refused the connection, so that trying again does not help.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// Why outgoing connections could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The local proxy has no port.
    #[error(
        "could not listen on 127.0.0.1 for git and other programs that connect through this one"
    )]
    Listen(#[source] std::io::Error),
    /// A proxy variable is not supported.
    #[error("the proxy in {variable} is not supported; expected http://HOST:PORT")]
    Proxy {
        /// The name of the variable.
        variable: &'static str,
    },
}

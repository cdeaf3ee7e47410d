//! The only way to connect to a server that somebody else named: a git server, a registry, the host
//! of a package, or a server that one of these redirects to.
//!
//! [`Outbound`] resolves a name once, checks each address against the operator's [`NetworkPolicy`],
//! and connects to a checked address. So a name that resolves differently a moment later (DNS
//! rebinding) gains nothing. Programs and libraries that open connections themselves get a
//! [`Session`]: the address of a SOCKS proxy in this process, which accepts nothing else.
//!
//! The Docker Engine is the exception: it connects from another process. Its registries are checked
//! with [`Outbound::addresses`] before it is asked.

mod address;
mod error;
mod outbound;
mod policy;
mod resolver;
mod session;
mod socks;
mod upstream;

pub use error::{OutboundError, StartError};
pub use outbound::Outbound;
pub use policy::{InvalidRule, NetworkPolicy, NetworkRule};
pub use resolver::{Addresses, Resolver, SystemResolver};
pub use session::Session;
pub use upstream::UpstreamProxy;

//! Resolves host names, and removes the addresses that must not be connected to.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use slipway_outbound::{NetworkPolicy, Resolver};

/// A name has addresses, but none of them may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("the host is not at a public address")]
pub(super) struct NoPublicAddress;

/// The client's only resolver. It returns only addresses that may be connected to, so a name that
/// resolves differently later (DNS rebinding) gains nothing.
pub(super) struct FilteringResolver {
    resolver: Arc<dyn Resolver>,
    policy: Arc<NetworkPolicy>,
    /// The port that is connected to.
    port: u16,
}

impl FilteringResolver {
    pub(super) fn new(resolver: Arc<dyn Resolver>, policy: Arc<NetworkPolicy>, port: u16) -> Self {
        Self {
            resolver,
            policy,
            port,
        }
    }
}

impl Resolve for FilteringResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (policy, port) = (Arc::clone(&self.policy), self.port);
        let name = name.as_str().to_owned();
        let found = self.resolver.addresses(name.clone());
        Box::pin(async move {
            let found = found.await?;
            let allowed: Vec<SocketAddr> = found
                .iter()
                .map(|address| SocketAddr::new(*address, port))
                .filter(|address| policy.allows(&name, *address))
                .collect();
            if allowed.is_empty() && !found.is_empty() {
                // The operator may see the addresses; the user who asked for the build may not.
                tracing::warn!(host = %name, addresses = ?found, "Refused to fetch from {name}: it has no public address");
                return Err(NoPublicAddress.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

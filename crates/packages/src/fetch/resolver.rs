//! Resolves host names, and removes the addresses that must not be connected to.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address::AddressFilter;

/// The future result of resolving a name.
pub(super) type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Resolves host names: with the host's resolver, or with scripted results in tests.
pub(super) trait Resolver: Send + Sync {
    /// The current addresses of `name`.
    fn addresses(&self, name: String) -> Addresses;
}

/// The host's resolver.
pub(super) struct SystemResolver;

impl Resolver for SystemResolver {
    fn addresses(&self, name: String) -> Addresses {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// A name has addresses, but none of them may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("the host is not at a public address")]
pub(super) struct NoPublicAddress;

/// The client's only resolver. It returns only addresses that may be connected to, so a name that
/// resolves differently later (DNS rebinding) gains nothing.
pub(super) struct FilteringResolver {
    resolver: Arc<dyn Resolver>,
    filter: Arc<AddressFilter>,
}

impl FilteringResolver {
    pub(super) fn new(resolver: Arc<dyn Resolver>, filter: Arc<AddressFilter>) -> Self {
        Self { resolver, filter }
    }
}

impl Resolve for FilteringResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let filter = Arc::clone(&self.filter);
        let name = name.as_str().to_owned();
        let found = self.resolver.addresses(name.clone());
        Box::pin(async move {
            let found = found.await?;
            let allowed: Vec<SocketAddr> = found
                .iter()
                .filter(|address| filter.allows(**address))
                .map(|address| SocketAddr::new(*address, 0))
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

//! Host names: which addresses they have, without those that may not be connected to.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address::Guard;

/// The answer to a question for the addresses of a name.
pub(super) type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Asks for the addresses of a name: this host's resolver, or one with a script.
pub(super) trait Lookup: Send + Sync {
    /// The addresses of `name` at this moment.
    fn addresses(&self, name: String) -> Addresses;
}

/// The resolver of this host.
pub(super) struct System;

impl Lookup for System {
    fn addresses(&self, name: String) -> Addresses {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// No address of a name may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("the host is not at a public address")]
pub(super) struct Forbidden;

/// Gives the client those addresses that may be connected to, and it has no other source of any.
pub(super) struct Guarded {
    lookup: Arc<dyn Lookup>,
    guard: Arc<Guard>,
}

impl Guarded {
    pub(super) fn new(lookup: Arc<dyn Lookup>, guard: Arc<Guard>) -> Self {
        Self { lookup, guard }
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.guard);
        let name = name.as_str().to_owned();
        let found = self.lookup.addresses(name.clone());
        Box::pin(async move {
            let found = found.await?;
            let admitted: Vec<SocketAddr> = found
                .iter()
                .filter(|address| guard.admits(**address))
                .map(|address| SocketAddr::new(*address, 0))
                .collect();
            if admitted.is_empty() && !found.is_empty() {
                // For the operator: who asks for the package is not told the address.
                tracing::warn!(host = %name, addresses = ?found, "No address of {name} is public");
                return Err(Forbidden.into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

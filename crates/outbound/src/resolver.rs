//! Resolves host names.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;

/// The future result of resolving a name.
pub type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Resolves host names: with the host's resolver, or with scripted results in tests.
pub trait Resolver: Send + Sync {
    /// The current addresses of `name`.
    fn addresses(&self, name: String) -> Addresses;
}

/// The host's resolver.
#[derive(Clone, Copy, Debug)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn addresses(&self, name: String) -> Addresses {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

//! Registries by their own API, for what a Docker Engine does not do: names for images of several
//! platforms, and documents that belong to an image.
//!
//! The protocol is that of the OCI distribution specification.

mod error;
mod index;
mod manifests;
mod referrers;

use std::fmt;
use std::time::Duration;

use oci_client::Client;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use sha2::{Digest as _, Sha256};
use slipway_domain::image::Repository;

pub use error::RegistryError;
pub use referrers::{Attached, Document};

/// The wait after the first answer that may pass; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// One repository of a registry, with a login for it.
pub struct Registry {
    client: Client,
    /// What the client does not do: it passes no headers on, of which one says when to come again.
    http: reqwest::Client,
    scheme: &'static str,
    repository: Repository,
    auth: RegistryAuth,
    first_wait: Duration,
}

impl Registry {
    /// The repository at its registry; nothing is sent yet.
    ///
    /// A registry on this host is spoken to without TLS, as Docker Engines do.
    pub fn of(repository: &Repository, login: Option<(&str, &str)>) -> Self {
        // Fails when there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (protocol, scheme) = match is_local(repository.registry()) {
            true => (ClientProtocol::Http, "http"),
            false => (ClientProtocol::Https, "https"),
        };
        let config = ClientConfig {
            protocol,
            ..ClientConfig::default()
        };
        Self {
            client: Client::new(config),
            http: reqwest::Client::new(),
            scheme,
            repository: repository.clone(),
            first_wait: FIRST_WAIT,
            auth: match login {
                Some((user, password)) => RegistryAuth::Basic(user.to_owned(), password.to_owned()),
                None => RegistryAuth::Anonymous,
            },
        }
    }

    /// The repository without its registry.
    fn path(&self) -> &str {
        let name = self.repository.as_str();
        name.split_once('/').map_or(name, |(_, path)| path)
    }
}

fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry({})", self.repository.as_str())
    }
}

/// Whether a registry is on this host.
fn is_local(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.starts_with("127.")
}

#[cfg(test)]
mod tests;

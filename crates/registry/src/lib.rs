//! Registries by their own API, for what a Docker Engine does not do: names for images of several
//! platforms, and documents that belong to an image.
//!
//! The protocol is that of the OCI distribution specification.

mod error;

use std::fmt;

use oci_client::Client;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use slipway_domain::image::Repository;

pub use error::RegistryError;

/// One repository of a registry, with a login for it.
pub struct Registry {
    client: Client,
    repository: Repository,
    auth: RegistryAuth,
}

impl Registry {
    /// The repository at its registry; nothing is sent yet. TLS needs a provider to be installed.
    ///
    /// A registry on this host is spoken to without TLS, as Docker Engines do.
    pub fn of(repository: &Repository, login: Option<(&str, &str)>) -> Self {
        let protocol = match is_local(repository.registry()) {
            true => ClientProtocol::Http,
            false => ClientProtocol::Https,
        };
        let config = ClientConfig {
            protocol,
            ..ClientConfig::default()
        };
        Self {
            client: Client::new(config),
            repository: repository.clone(),
            auth: match login {
                Some((user, password)) => RegistryAuth::Basic(user.to_owned(), password.to_owned()),
                None => RegistryAuth::Anonymous,
            },
        }
    }
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

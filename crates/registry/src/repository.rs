//! One repository of a registry, with its login.

use std::fmt;
use std::time::Duration;

use oci_client::Client;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use slipway_domain::image::Repository;

/// The wait after the first transient error; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// One repository of a registry, with its login.
pub struct Registry {
    pub(crate) client: Client,
    /// For requests whose response headers matter, which `client` does not expose: `Retry-After`.
    pub(crate) http: reqwest::Client,
    pub(crate) scheme: &'static str,
    repository: Repository,
    pub(crate) auth: RegistryAuth,
    pub(crate) first_wait: Duration,
}

impl Registry {
    /// A client for `repository`; nothing is sent yet. `login` is a user name and a password.
    ///
    /// A registry on this host is contacted without TLS, as the Docker Engine does.
    pub fn new(repository: &Repository, login: Option<(&str, &str)>) -> Self {
        // Fails if a provider is installed already, and then that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (protocol, scheme) = if is_local(repository.registry()) {
            (ClientProtocol::Http, "http")
        } else {
            (ClientProtocol::Https, "https")
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

    pub(crate) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The repository without its registry.
    pub(crate) fn path(&self) -> &str {
        let name = self.repository.as_str();
        name.split_once('/').map_or(name, |(_, path)| path)
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

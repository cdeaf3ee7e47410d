//! One repository of a registry, with its login.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use oci_client::Client;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use slipway_domain::image::Repository;
use slipway_outbound::{Outbound, Session};

use crate::error::RegistryError;

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
    /// What both clients connect through.
    pub(crate) session: Session,
}

impl Registry {
    /// A client for `repository` that connects through `outbound`; nothing is sent yet. `login` is a
    /// user name and a password.
    ///
    /// A registry on this host is contacted without TLS, as the Docker Engine does.
    ///
    /// # Errors
    /// `Setup` if the HTTP client cannot be created.
    pub fn new(
        outbound: &Outbound,
        repository: &Repository,
        login: Option<(&str, &str)>,
    ) -> Result<Self, RegistryError> {
        // Fails if a provider is installed already, and then that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (protocol, scheme) = if is_local(repository.registry()) {
            (ClientProtocol::Http, "http")
        } else {
            (ClientProtocol::Https, "https")
        };
        let session = outbound.session();
        let config = ClientConfig {
            protocol,
            // Without a proxy for one scheme, requests with the other would connect directly.
            http_proxy: Some(session.proxy_url()),
            https_proxy: Some(session.proxy_url()),
            ..ClientConfig::default()
        };
        // `Client::new` would fall back to a client without the proxy.
        let client = Client::try_from(config).map_err(|_| RegistryError::Setup)?;
        let http = session.http().and_then(reqwest::ClientBuilder::build);
        Ok(Self {
            client,
            http: http.map_err(|_| RegistryError::Setup)?,
            scheme,
            repository: repository.clone(),
            first_wait: FIRST_WAIT,
            auth: match login {
                Some((user, password)) => RegistryAuth::Basic(user.to_owned(), password.to_owned()),
                None => RegistryAuth::Anonymous,
            },
            session,
        })
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
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    host == "localhost" || address.is_ok_and(|address: IpAddr| address.is_loopback())
}

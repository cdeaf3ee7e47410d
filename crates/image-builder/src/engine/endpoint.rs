//! The address of the Docker Engine, and connections to it that nothing else shares.
//!
//! The engine's client pools its connections. A build needs one of its own that closes with it: the
//! engine stops a build when its connection closes.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::error::BuildError;

/// The address of the engine if `DOCKER_HOST` is not set.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// The engine's ports without and with TLS.
const DEFAULT_PORT: u16 = 2375;
const DEFAULT_TLS_PORT: u16 = 2376;

/// The address of the engine.
#[derive(Clone)]
pub(crate) enum Endpoint {
    /// The path of a socket.
    Unix(PathBuf),
    /// `HOST:PORT`.
    Tcp(String),
    /// `HOST:PORT` with certificates on both sides.
    Tls(String, Arc<ClientConfig>),
}

/// A connection over any transport.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Endpoint {
    /// Reads `DOCKER_HOST`, `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH`.
    ///
    /// # Errors
    /// `EngineUnavailable` if the address has an unsupported scheme or the certificates cannot be
    /// read.
    pub(crate) fn from_env() -> Result<Self, BuildError> {
        let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| DEFAULT_HOST.to_owned());
        let certificates = std::env::var_os("DOCKER_CERT_PATH").map(PathBuf::from);
        let default_dir = || Some(std::env::home_dir()?.join(".docker"));
        let certificates = certificates.or_else(default_dir).unwrap_or_default();
        let is_tls = std::env::var_os("DOCKER_TLS_VERIFY").is_some();
        Self::new(&host, is_tls, &certificates)
    }

    fn new(host: &str, is_tls: bool, certificates: &Path) -> Result<Self, BuildError> {
        let unavailable = |detail: String| BuildError::EngineUnavailable { detail };
        let (scheme, address) = host.split_once("://").unwrap_or_default();
        let address = address.trim_end_matches('/');
        let is_tls = scheme == "https" || is_tls;
        match scheme {
            "unix" => Ok(Self::Unix(address.into())),
            // `DOCKER_TLS_VERIFY` turns on TLS for a `tcp://` address, as for the `docker` command.
            "tcp" | "http" | "https" if is_tls => {
                let config = tls_config(certificates).map_err(|error| {
                    let dir = certificates.display();
                    unavailable(format!("could not load the certificates in {dir}: {error}"))
                })?;
                let address = with_port(address, DEFAULT_TLS_PORT);
                Ok(Self::Tls(address, Arc::new(config)))
            }
            "tcp" | "http" => Ok(Self::Tcp(with_port(address, DEFAULT_PORT))),
            _ => Err(unavailable(format!(
                "DOCKER_HOST is {host}; expected an address with unix://, tcp:// or https://"
            ))),
        }
    }

    /// Whether the engine runs on this host.
    pub(crate) fn is_local(&self) -> bool {
        let address = match self {
            Self::Unix(_) => return true,
            Self::Tcp(address) | Self::Tls(address, _) => address,
        };
        let host = address
            .rsplit_once(':')
            .map_or(&**address, |(host, _)| host);
        let host = host.trim_matches(['[', ']']);
        let is_loopback = |address: IpAddr| address.is_loopback();
        host == "localhost" || host.parse().is_ok_and(is_loopback)
    }

    /// Opens a connection.
    pub(crate) fn connect(&self) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        match self.clone() {
            Self::Unix(path) => Box::pin(async move { boxed(UnixStream::connect(path).await?) }),
            Self::Tcp(address) => {
                Box::pin(async move { boxed(TcpStream::connect(address).await?) })
            }
            Self::Tls(address, config) => Box::pin(async move {
                let host = address.rsplit_once(':').map_or(&*address, |(host, _)| host);
                // A certificate names an IPv6 address without the brackets of a URL.
                let host = host.trim_matches(['[', ']']).to_owned();
                let name = ServerName::try_from(host).map_err(io::Error::other)?;
                let stream = TcpStream::connect(address).await?;
                boxed(TlsConnector::from(config).connect(name, stream).await?)
            }),
        }
    }
}

fn boxed(stream: impl Stream + 'static) -> io::Result<Box<dyn Stream>> {
    Ok(Box::new(stream))
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Tls(address, _) => write!(f, "https://{address}"),
        }
    }
}

fn with_port(address: &str, default: u16) -> String {
    // The colons inside the brackets of an IPv6 address do not begin a port.
    let host_end = address.rfind(']').unwrap_or(0);
    if address[host_end..].contains(':') {
        address.to_owned()
    } else {
        format!("{address}:{default}")
    }
}

/// Loads `ca.pem`, `cert.pem` and `key.pem`, the files that the `docker` command uses.
fn tls_config(dir: &Path) -> Result<ClientConfig, Box<dyn std::error::Error>> {
    let certificates = |name: &str| -> Result<Vec<_>, Box<dyn std::error::Error>> {
        let read = CertificateDer::pem_file_iter(dir.join(name))?;
        Ok(read.collect::<Result<_, _>>()?)
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates("ca.pem")?);
    let key = PrivateKeyDer::from_pem_file(dir.join("key.pem"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates("cert.pem")?, key)?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supported_addresses_get_a_port_and_others_are_refused() {
        for (host, expected) in [
            ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
            ("tcp://10.0.0.1:2375", "tcp://10.0.0.1:2375"),
            ("tcp://engine", "tcp://engine:2375"),
            ("http://[::1]/", "tcp://[::1]:2375"),
            ("tcp://[::1]:99", "tcp://[::1]:99"),
        ] {
            let endpoint = Endpoint::new(host, false, Path::new("/nowhere")).unwrap();
            assert_eq!(format!("{endpoint:?}"), expected);
        }
        for bad in ["ssh://engine", "engine", ""] {
            let error = Endpoint::new(bad, false, Path::new("")).unwrap_err();
            let expected = "expected an address with unix://";
            assert!(error.to_string().contains(expected), "{error}");
        }
        for (host, is_local) in [
            ("unix:///x", true),
            ("tcp://localhost", true),
            ("tcp://127.0.0.2:9", true),
            ("tcp://[::1]", true),
            ("tcp://engine", false),
            ("tcp://10.0.0.1", false),
        ] {
            let endpoint = Endpoint::new(host, false, Path::new("/nowhere")).unwrap();
            assert_eq!(endpoint.is_local(), is_local, "{host}");
        }
        let error = Endpoint::new("tcp://engine", true, Path::new("/nowhere")).unwrap_err();
        assert!(
            error.to_string().contains("certificates in /nowhere"),
            "{error}"
        );
    }
}

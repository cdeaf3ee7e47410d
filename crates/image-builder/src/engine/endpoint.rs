//! Where the Docker Engine is, and connections to it that are nobody else's.
//!
//! The engine's client shares its connections and keeps them; a build has its own, which end with
//! it: the engine stops a build whose connection is closed.

use std::io;
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

/// Where the engine is when nothing is said.
const USUAL_HOST: &str = "unix:///var/run/docker.sock";

/// Where the engine is.
#[derive(Clone)]
pub(crate) enum Endpoint {
    /// Behind a socket of this host.
    Unix(PathBuf),
    /// At a host and a port.
    Tcp(String),
    /// The same, with certificates on both sides.
    Tls(String, Arc<ClientConfig>),
}

/// A connection of whatever kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Endpoint {
    /// The one that `DOCKER_HOST` names, with `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH`.
    ///
    /// # Errors
    /// `EngineUnavailable` for an address that nothing is known of, and for certificates that
    /// cannot be read.
    pub(crate) fn from_env() -> Result<Self, BuildError> {
        let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| USUAL_HOST.to_owned());
        let certificates = std::env::var_os("DOCKER_CERT_PATH").map(PathBuf::from);
        let usual = || Some(std::env::home_dir()?.join(".docker"));
        let certificates = certificates.or_else(usual).unwrap_or_default();
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
            "tcp" | "http" | "https" if is_tls => {
                let config = tls_config(certificates).map_err(|error| {
                    let place = certificates.display();
                    unavailable(format!(
                        "the certificates in {place} cannot be used: {error}"
                    ))
                })?;
                Ok(Self::Tls(with_port(address, 2376), Arc::new(config)))
            }
            "tcp" | "http" => Ok(Self::Tcp(with_port(address, 2375))),
            _ => Err(unavailable(format!(
                "DOCKER_HOST is {host}; unix://, tcp:// and https:// are understood"
            ))),
        }
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

fn with_port(address: &str, usual: u16) -> String {
    let host_end = address.rfind(']').unwrap_or(0);
    match address[host_end..].contains(':') {
        true => address.to_owned(),
        false => format!("{address}:{usual}"),
    }
}

/// What is trusted and shown: `ca.pem`, `cert.pem` and `key.pem`, as the `docker` command has them.
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
    fn every_address_that_is_understood_has_a_port() {
        for (host, told) in [
            ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
            ("tcp://10.0.0.1:2375", "tcp://10.0.0.1:2375"),
            ("tcp://engine", "tcp://engine:2375"),
            ("http://[::1]/", "tcp://[::1]:2375"),
            ("tcp://[::1]:99", "tcp://[::1]:99"),
        ] {
            let endpoint = Endpoint::new(host, false, Path::new("/nowhere")).unwrap();
            assert_eq!(format!("{endpoint:?}"), told);
        }
        for bad in ["ssh://engine", "engine", ""] {
            let error = Endpoint::new(bad, false, Path::new("")).unwrap_err();
            assert!(error.to_string().contains("are understood"), "{error}");
        }
        let error = Endpoint::new("tcp://engine", true, Path::new("/nowhere")).unwrap_err();
        assert!(
            error.to_string().contains("certificates in /nowhere"),
            "{error}"
        );
    }
}

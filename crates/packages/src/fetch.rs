//! Fetches a package from an untrusted URL.
//!
//! Every address is checked right before a connection to it: host names in the client's resolver, and
//! literal addresses before each request, including those after redirects. There are no proxies,
//! cookies or decompression, and no other way to open a socket.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use slipway_outbound::{NetworkPolicy, Resolver, SystemResolver};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};
use url::Host;

use crate::error::PackageError;
use crate::kind::{HEAD, Kind};
use crate::url::PackageUrl;

use self::resolver::{FilteringResolver, NoPublicAddress};

/// The limits for fetching a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// The maximum size of the package, in bytes.
    pub size: u64,
    /// The maximum total time.
    pub total: Duration,
    /// The maximum time in which the server sends nothing.
    pub idle: Duration,
    /// The maximum number of redirects.
    pub redirects: usize,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            size: 1 << 30,
            total: Duration::from_secs(1800),
            idle: Duration::from_secs(60),
            redirects: 10,
        }
    }
}

/// A fetched package in a temporary file.
#[derive(Debug)]
pub struct Fetched {
    /// An unnamed temporary file with its bytes, positioned at the start.
    pub file: File,
    /// In bytes.
    pub size: u64,
    /// The `Content-Type` from the server.
    content_type: Option<String>,
    /// The first bytes, to detect the kind.
    head: Vec<u8>,
}

impl Fetched {
    /// Detects the kind of the package.
    ///
    /// # Errors
    /// `Unsupported` if it is neither an archive nor a Dockerfile.
    pub fn kind(&self) -> Result<Kind, PackageError> {
        Kind::detect(self.content_type.as_deref(), &self.head)
    }
}

/// Fetches packages, also several concurrently.
pub struct Fetcher {
    resolver: Arc<dyn Resolver>,
    policy: Arc<NetworkPolicy>,
    limits: FetchLimits,
}

impl Fetcher {
    /// Creates a fetcher that connects to servers that `policy` allows.
    ///
    /// # Errors
    /// `Io` if the host's certificates cannot be read.
    pub fn new(limits: FetchLimits, policy: NetworkPolicy) -> Result<Self, PackageError> {
        Self::with(limits, policy, Arc::new(SystemResolver))
    }

    fn with(
        limits: FetchLimits,
        policy: NetworkPolicy,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, PackageError> {
        // This fails if the process has installed a provider already, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let fetcher = Self {
            resolver,
            policy: Arc::new(policy),
            limits,
        };
        fetcher.client(0)?;
        Ok(fetcher)
    }

    /// A client for one request to a server at `port`.
    fn client(&self, port: u16) -> Result<Client, PackageError> {
        let resolver = Arc::clone(&self.resolver);
        let resolver = FilteringResolver::new(resolver, Arc::clone(&self.policy), port);
        let client = Client::builder()
            .user_agent(concat!("slipway-runner/", env!("CARGO_PKG_VERSION")))
            // The only way to an address for a name, so that none is connected to unchecked.
            .dns_resolver(resolver)
            .redirect(Policy::none())
            // A proxy would connect on our behalf, past the address check.
            .no_proxy()
            // The URL may contain secrets, which must not reach the next server.
            .referer(false)
            .build();
        Ok(client.map_err(std::io::Error::other)?)
    }

    /// Fetches the package at `url` into an unnamed temporary file in the directory `spool`. Calls
    /// `report` with a line of progress for each step.
    ///
    /// Dropping the future closes the connection and leaves no file.
    ///
    /// # Errors
    /// See [`PackageError`].
    pub async fn fetch(
        &self,
        url: &PackageUrl,
        spool: &Path,
        report: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Fetched, PackageError> {
        // One deadline for all redirects, so that they cannot extend the time.
        let deadline = Instant::now() + self.limits.total;
        let mut url = url.clone();
        report(&format!("Fetching {url}"));
        for _ in 0..=self.limits.redirects {
            let response = self.request(&url, deadline).await?;
            if !is_redirect(response.status()) {
                return self.receive(&url, response, spool, deadline).await;
            }
            // The client follows no redirects itself, so that each new URL is checked here.
            let location = response.headers().get(LOCATION);
            let location = location.and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
            let location =
                location.ok_or_else(|| unavailable(&url, "it redirects without a location"))?;
            url = url.join(location)?;
            report(&format!("Redirected to {url}"));
        }
        let redirects = self.limits.redirects;
        let reason = format!("it redirects more than {redirects} times");
        Err(unavailable(&url, reason))
    }

    /// Sends one request, after checking the address.
    async fn request(&self, url: &PackageUrl, deadline: Instant) -> Result<Response, PackageError> {
        let literal = match url.url().host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) | None => None,
        };
        // The client does not call the resolver for literal addresses.
        let host = url.url().host_str().unwrap_or_default();
        let port = url.url().port_or_known_default().unwrap_or_default();
        let is_refused = |address| !self.policy.allows(host, SocketAddr::new(address, port));
        if literal.is_some_and(is_refused) {
            return Err(not_public(url));
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, "*/*".parse().map_err(std::io::Error::other)?);
        let identity = "identity".parse().map_err(std::io::Error::other)?;
        // Content encodings would hide the archive's own compression.
        headers.insert(ACCEPT_ENCODING, identity);
        let client = self.client(port)?;
        let response = client.get(url.url().clone()).headers(headers).send();
        let response = self.limits.wait(url, deadline, response).await?;
        let response = response.map_err(|error| failed(url, &error))?;
        // A second line of defense, in case both checks above are circumvented.
        match response.remote_addr() {
            Some(peer) if self.policy.allows(host, peer) => Ok(response),
            _ => Err(not_public(url)),
        }
    }

    /// Stores the body of a response.
    async fn receive(
        &self,
        url: &PackageUrl,
        response: Response,
        spool: &Path,
        deadline: Instant,
    ) -> Result<Fetched, PackageError> {
        let status = response.status();
        if !status.is_success() {
            return Err(unavailable(url, format!("the server answered {status}")));
        }
        let limit = self.limits.size;
        // Fails early; a missing or wrong length is detected while storing.
        if response
            .content_length()
            .is_some_and(|length| length > limit)
        {
            return Err(PackageError::TooLarge { limit });
        }
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            text.into_owned()
        });
        let body = response
            .bytes_stream()
            .map(|chunk| chunk.map_err(|error| failed(url, &error)));
        let mut file = tokio::fs::File::from_std(tempfile::tempfile_in(spool)?);
        let store = self.limits.store(url, body, &mut file, deadline);
        let (size, head) = store.await?;
        file.rewind().await?;
        Ok(Fetched {
            file: file.into_std().await,
            size,
            content_type,
            head,
        })
    }
}

impl FetchLimits {
    /// Stores a body in a file. Returns its length and its first bytes.
    async fn store(
        &self,
        url: &PackageUrl,
        body: impl Stream<Item = Result<Bytes, PackageError>>,
        file: &mut tokio::fs::File,
        deadline: Instant,
    ) -> Result<(u64, Vec<u8>), PackageError> {
        let mut body = std::pin::pin!(body);
        let mut head = Vec::new();
        let mut size = 0_u64;
        while let Some(chunk) = self.wait(url, deadline, body.next()).await? {
            let chunk = chunk?;
            // `Content-Length` may be missing or wrong, so the bytes are counted.
            size = size.saturating_add(chunk.len() as u64);
            if size > self.size {
                return Err(PackageError::TooLarge { limit: self.size });
            }
            let missing = HEAD.saturating_sub(head.len()).min(chunk.len());
            head.extend_from_slice(&chunk[..missing]);
            file.write_all(&chunk).await?;
        }
        // `tokio::fs::File` reports errors of earlier writes only when it is flushed.
        file.flush().await?;
        Ok((size, head))
    }

    /// Waits for `next`, but no longer than the idle time and the deadline allow.
    async fn wait<T>(
        &self,
        url: &PackageUrl,
        deadline: Instant,
        next: impl Future<Output = T>,
    ) -> Result<T, PackageError> {
        let idle = Instant::now() + self.idle;
        timeout_at(idle.min(deadline), next).await.map_err(|_| {
            if deadline <= idle {
                PackageError::TimedOut {
                    what: "fetching",
                    seconds: self.total.as_secs(),
                }
            } else {
                PackageError::Stalled {
                    url: url.to_string(),
                    seconds: self.idle.as_secs(),
                }
            }
        })
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

fn not_public(url: &PackageUrl) -> PackageError {
    PackageError::NotPublic { host: url.host() }
}

fn unavailable(url: &PackageUrl, reason: impl Into<String>) -> PackageError {
    PackageError::Unavailable {
        url: url.to_string(),
        reason: reason.into(),
    }
}

/// Converts an error of the client. Its own text would show the whole URL, including secrets.
fn failed(url: &PackageUrl, error: &reqwest::Error) -> PackageError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut innermost = String::new();
    while let Some(error) = cause {
        // The client wraps the resolver's error several times.
        if error.is::<NoPublicAddress>() {
            return not_public(url);
        }
        innermost = error.to_string();
        cause = error.source();
    }
    let what = match error {
        error if error.is_connect() => "the server could not be reached",
        error if error.is_body() || error.is_decode() => "the connection was interrupted",
        _ => "the server sent an invalid response",
    };
    unavailable(url, format!("{what} ({innermost})"))
}

mod resolver;

#[cfg(test)]
mod tests;

//! Fetching a package from a URL that nobody trusts.
//!
//! Each address is judged where a connection to it begins: names through the resolver that the
//! client is made with, addresses in a URL before each request, of which a redirect makes a new
//! one. There is no proxy, no cookie, no decompression, and no other way to a socket.

use std::fs::File;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};
use url::Host;

use crate::address::{Guard, Network};
use crate::error::PackageError;
use crate::kind::{HEAD, Kind};
use crate::url::PackageUrl;

use self::resolver::{Forbidden, Guarded, Lookup, System};

/// What fetching a package may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// How large the package may be, in bytes.
    pub size: u64,
    /// How long it may take altogether.
    pub total: Duration,
    /// How long nothing may come from the server.
    pub idle: Duration,
    /// How many redirects are followed.
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

/// A package that was fetched.
#[derive(Debug)]
pub struct Fetched {
    /// Its bytes, in a file without a name, from the beginning.
    pub file: File,
    /// How many there are.
    pub size: u64,
    /// The type that the server gave it.
    content_type: Option<String>,
    /// Its first bytes.
    head: Vec<u8>,
}

impl Fetched {
    /// What it is.
    ///
    /// # Errors
    /// `Unsupported` when it is no package.
    pub fn kind(&self) -> Result<Kind, PackageError> {
        Kind::of(self.content_type.as_deref(), &self.head)
    }
}

/// Fetches packages. Several may be fetched side by side.
pub struct Fetcher {
    client: Client,
    guard: Arc<Guard>,
    limits: FetchLimits,
}

impl Fetcher {
    /// A fetcher that connects to public addresses, and to those of `allowed`.
    ///
    /// # Errors
    /// `Io` when the host's certificates cannot be read.
    pub fn new(limits: FetchLimits, allowed: Vec<Network>) -> Result<Self, PackageError> {
        Self::with(limits, allowed, Arc::new(System))
    }

    fn with(
        limits: FetchLimits,
        allowed: Vec<Network>,
        lookup: Arc<dyn Lookup>,
    ) -> Result<Self, PackageError> {
        // Fails when there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let guard = Arc::new(Guard::new(allowed));
        let client = Client::builder()
            .user_agent(concat!("slipway-runner/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Guarded::new(lookup, Arc::clone(&guard)))
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            // A connection is of use once; the next package asks its resolver again.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(std::io::Error::other)?;
        Ok(Self {
            client,
            guard,
            limits,
        })
    }

    /// Fetches the package at `url` into a file of the directory `spool`, where it has no name;
    /// `say` is told each step in a line.
    ///
    /// Dropping the future ends the connection, and nothing is left.
    ///
    /// # Errors
    /// See [`PackageError`].
    pub async fn fetch(
        &self,
        url: &PackageUrl,
        spool: &Path,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Fetched, PackageError> {
        let deadline = Instant::now() + self.limits.total;
        let mut url = url.clone();
        say(&format!("Fetching {url}"));
        for _ in 0..=self.limits.redirects {
            let answer = self.ask(&url, deadline).await?;
            if !is_redirect(answer.status()) {
                return self.take(&url, answer, spool, deadline).await;
            }
            let location = answer.headers().get(LOCATION);
            let location = location.and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
            let location = location.ok_or_else(|| unavailable(&url, "it redirects to nowhere"))?;
            url = url.join(location)?;
            say(&format!("Redirected to {url}"));
        }
        let redirects = self.limits.redirects;
        let reason = format!("it redirects more than {redirects} times");
        Err(unavailable(&url, reason))
    }

    /// Sends one request, to an address that may be connected to.
    async fn ask(&self, url: &PackageUrl, deadline: Instant) -> Result<Response, PackageError> {
        let literal = match url.url().host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) | None => None,
        };
        if literal.is_some_and(|address| !self.guard.admits(address)) {
            return Err(not_public(url));
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, "*/*".parse().map_err(std::io::Error::other)?);
        let identity = "identity".parse().map_err(std::io::Error::other)?;
        headers.insert(ACCEPT_ENCODING, identity);
        let answer = self.client.get(url.url().clone()).headers(headers).send();
        let answer = self.limits.wait(url, deadline, answer).await?;
        let answer = answer.map_err(|error| failed(url, &error))?;
        // Both doors above would have to be open for this to be of any use.
        match answer.remote_addr() {
            Some(peer) if self.guard.admits(peer.ip()) => Ok(answer),
            _ => Err(not_public(url)),
        }
    }

    /// Takes the body of an answer.
    async fn take(
        &self,
        url: &PackageUrl,
        answer: Response,
        spool: &Path,
        deadline: Instant,
    ) -> Result<Fetched, PackageError> {
        let status = answer.status();
        if !status.is_success() {
            return Err(unavailable(url, format!("the server answered {status}")));
        }
        let limit = self.limits.size;
        if answer.content_length().is_some_and(|length| length > limit) {
            return Err(PackageError::TooLarge { limit });
        }
        let content_type = answer.headers().get(CONTENT_TYPE);
        let content_type = content_type.map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            text.into_owned()
        });
        let body = answer
            .bytes_stream()
            .map(|piece| piece.map_err(|error| failed(url, &error)));
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
    /// Stores a body in a file; returns its length and its first bytes.
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
        while let Some(piece) = self.wait(url, deadline, body.next()).await? {
            let piece = piece?;
            size = size.saturating_add(piece.len() as u64);
            if size > self.size {
                return Err(PackageError::TooLarge { limit: self.size });
            }
            let missing = HEAD.saturating_sub(head.len()).min(piece.len());
            head.extend_from_slice(&piece[..missing]);
            file.write_all(&piece).await?;
        }
        // What could not be written is told by the last call only.
        file.flush().await?;
        Ok((size, head))
    }

    /// Waits for `next`, as long as all may take and as long as nothing may come.
    async fn wait<T>(
        &self,
        url: &PackageUrl,
        deadline: Instant,
        next: impl Future<Output = T>,
    ) -> Result<T, PackageError> {
        let idle = Instant::now() + self.idle;
        timeout_at(idle.min(deadline), next)
            .await
            .map_err(|_| match deadline <= idle {
                true => PackageError::TimedOut {
                    what: "fetching",
                    seconds: self.total.as_secs(),
                },
                false => PackageError::Stalled {
                    url: url.to_string(),
                    seconds: self.idle.as_secs(),
                },
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

/// What the client's error means. Its own text would show the whole URL.
fn failed(url: &PackageUrl, error: &reqwest::Error) -> PackageError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut innermost = String::new();
    while let Some(error) = cause {
        if error.is::<Forbidden>() {
            return not_public(url);
        }
        innermost = error.to_string();
        cause = error.source();
    }
    let what = match error {
        error if error.is_connect() => "the server could not be reached",
        error if error.is_body() || error.is_decode() => "the connection broke off",
        _ => "the server did not answer as it should",
    };
    unavailable(url, format!("{what} ({innermost})"))
}

mod resolver;

#[cfg(test)]
mod tests;

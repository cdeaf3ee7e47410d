//! A GitHub client for two operations: reading the head of a branch, and setting a commit status.
//!
//! The operator configures the URL of the API and the token, so connections to this server are allowed
//! whatever its address is. Responses are limited in size, redirects
//! are followed only on the same server, and errors and debug output never contain the token.

mod repository;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, HeaderValue, LOCATION};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};
use slipway_domain::{CommitSha, GitRef};
use slipway_outbound::{Outbound, Session};
use url::Url;

pub use repository::GithubRepository;

/// The URL of github.com's API.
pub const PUBLIC_API: &str = "https://api.github.com";
/// The maximum time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum time for a request and its response.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The maximum size of a response, in bytes.
const MAX_RESPONSE_BYTES: usize = 256 * 1024;
/// How many redirects of one request are followed.
const MAX_REDIRECTS: usize = 3;
/// The header that pins the API version.
const API_VERSION: (&str, &str) = ("X-GitHub-Api-Version", "2022-11-28");
/// The maximum length of a status description, in characters.
const MAX_DESCRIPTION: usize = 140;
/// The characters that are percent-encoded in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A client of one GitHub server. Clones share connections.
#[derive(Clone)]
pub struct Github {
    http: reqwest::Client,
    base: Url,
    token: Option<HeaderValue>,
    /// What `http` connects through.
    _session: Arc<Session>,
}

/// Why a request to GitHub failed.
#[derive(Debug, thiserror::Error)]
pub enum GithubError {
    #[error("invalid GitHub API URL {0:?}; expected an HTTP URL such as https://api.github.com")]
    Address(String),
    #[error("the GitHub token has characters that cannot be sent in an HTTP header")]
    Token,
    #[error("could not create the HTTP client for GitHub")]
    Setup(#[source] reqwest::Error),
    /// GitHub could not be reached or timed out.
    #[error("could not reach GitHub")]
    Unreachable(#[source] reqwest::Error),
    /// GitHub refused the request.
    #[error("GitHub answered with status {status}")]
    Refused { status: u16 },
    /// GitHub redirected the request to another server, or too often.
    #[error("GitHub redirected the request to another server, or too often")]
    Redirected,
    /// The response is too large or does not match the API.
    #[error("GitHub sent an invalid response")]
    InvalidResponse,
}

/// The state of a commit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Pending,
    Success,
    Failure,
}

/// A status of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitStatus {
    pub state: State,
    /// The name of the status. A later status with the same name replaces it.
    pub context: &'static str,
    /// One sentence. It is cut to the length GitHub allows.
    pub description: String,
    /// The link of the status.
    pub target_url: Option<String>,
}

#[derive(Deserialize)]
struct RefResponse {
    object: RefObject,
}

#[derive(Deserialize)]
struct RefObject {
    sha: String,
}

#[derive(Serialize)]
struct StatusBody<'a> {
    state: State,
    context: &'a str,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_url: Option<&'a str>,
}

impl Github {
    /// Creates a client for the API at `base`, such as `https://ghe.example/api/v3`, that connects
    /// through `outbound`. Sends nothing.
    ///
    /// # Errors
    /// `Address` if `base` is not an HTTP URL, `Token` if the token cannot be sent in a header.
    pub fn new(base: &str, token: Option<&str>, outbound: &Outbound) -> Result<Self, GithubError> {
        // This fails if another part of the process has installed a provider already, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = Url::parse(base)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let token = token.map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
            // Keeps the token out of debug output of requests.
            value.set_sensitive(true);
            Ok::<_, reqwest::header::InvalidHeaderValue>(value)
        });
        let base = url.ok_or_else(|| GithubError::Address(base.to_owned()))?;
        let host = base.host_str().map(str::to_owned);
        let session = outbound.session_trusting(host.zip(base.port_or_known_default()));
        Ok(Self {
            http: session
                .http()
                .map_err(GithubError::Setup)?
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(TIMEOUT)
                // Redirects are followed by `send`: one must not send the token to another server, and
                // none may turn POST into GET.
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(GithubError::Setup)?,
            base,
            token: token.transpose().map_err(|_| GithubError::Token)?,
            _session: Arc::new(session),
        })
    }

    /// Returns true if there is a token, which GitHub requires to set a status.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The repository on this GitHub with the clone URL `repo_url`; `None` if it is hosted elsewhere.
    pub fn repository(&self, repo_url: &str) -> Option<GithubRepository> {
        GithubRepository::at(&self.base, repo_url)
    }

    /// The commit a branch points to; `None` if the branch does not exist.
    ///
    /// # Errors
    /// `Unreachable`, `Refused`, `Redirected` or `InvalidResponse`.
    pub async fn branch_head(
        &self,
        repository: &GithubRepository,
        branch: &GitRef,
    ) -> Result<Option<CommitSha>, GithubError> {
        let mut path = vec!["git", "ref", "heads"];
        // The slashes of a branch name are path separators in this API, so each part is encoded alone.
        path.extend(branch.as_str().split('/'));
        let response = self
            .send(self.request(Method::GET, repository, &path))
            .await?;
        match response.status() {
            StatusCode::OK => {}
            // GitHub answers 409 for an empty repository.
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => return Ok(None),
            other => return Err(refused(other)),
        }
        let body = body(response).await?;
        let found: RefResponse =
            serde_json::from_slice(&body).map_err(|_| GithubError::InvalidResponse)?;
        let sha = found.object.sha.parse();
        sha.map(Some).map_err(|_| GithubError::InvalidResponse)
    }

    /// Sets a status on a commit.
    ///
    /// # Errors
    /// `Unreachable`, `Refused` or `Redirected`.
    pub async fn set_status(
        &self,
        repository: &GithubRepository,
        sha: &CommitSha,
        status: &CommitStatus,
    ) -> Result<(), GithubError> {
        let body = StatusBody {
            state: status.state,
            context: status.context,
            description: status.description.chars().take(MAX_DESCRIPTION).collect(),
            target_url: status.target_url.as_deref(),
        };
        let path = ["statuses", sha.as_str()];
        let request = self.request(Method::POST, repository, &path).json(&body);
        match self.send(request).await?.status() {
            StatusCode::CREATED => Ok(()),
            other => Err(refused(other)),
        }
    }

    fn request(
        &self,
        method: Method,
        repository: &GithubRepository,
        path: &[&str],
    ) -> RequestBuilder {
        let prefix = ["repos", &repository.owner, &repository.name];
        let mut url = self.base.as_str().trim_end_matches('/').to_owned();
        for segment in prefix.iter().chain(path) {
            url.push('/');
            url.extend(utf8_percent_encode(segment, SEGMENT));
        }
        let request = self
            .http
            .request(method, url)
            .header(ACCEPT, "application/vnd.github+json")
            .header(API_VERSION.0, API_VERSION.1);
        match &self.token {
            Some(token) => request.header(reqwest::header::AUTHORIZATION, token.clone()),
            None => request,
        }
    }

    /// Sends a request, with the same method and body also to where GitHub redirects it. GitHub does
    /// that for repositories that were renamed or moved.
    async fn send(&self, request: RequestBuilder) -> Result<Response, GithubError> {
        // The URL is the operator's setting, so it must not reach the user who started the build.
        let unreachable = |error: reqwest::Error| GithubError::Unreachable(error.without_url());
        let mut request = request.build().map_err(unreachable)?;
        for _ in 0..=MAX_REDIRECTS {
            let again = request.try_clone();
            let response = self.http.execute(request).await.map_err(unreachable)?;
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            let target = self.redirected_to(&response);
            // Only a streamed body cannot be sent again, and no request here has one.
            let (Some(target), Some(mut next)) = (target, again) else {
                return Err(GithubError::Redirected);
            };
            *next.url_mut() = target;
            request = next;
        }
        Err(GithubError::Redirected)
    }

    /// Where a response redirects to, if that is on this server.
    fn redirected_to(&self, response: &Response) -> Option<Url> {
        let target = response.headers().get(LOCATION)?.to_str().ok()?;
        let target = response.url().join(target).ok()?;
        // Scheme and port count: another service on the host must not get the token.
        (target.origin() == self.base.origin()).then_some(target)
    }
}

impl fmt::Debug for Github {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Github({})", self.base)
    }
}

/// Whether the same request has to be sent to another URL. 302 and 303 are not among these: clients may
/// turn them into GET, and GitHub's API uses them for downloads only.
fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

fn refused(status: StatusCode) -> GithubError {
    GithubError::Refused {
        status: status.as_u16(),
    }
}

async fn body(mut response: Response) -> Result<Vec<u8>, GithubError> {
    let mut body = Vec::new();
    let unreachable = |error: reqwest::Error| GithubError::Unreachable(error.without_url());
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        // The length is counted while reading, because `Content-Length` can be missing or wrong.
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(GithubError::InvalidResponse);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

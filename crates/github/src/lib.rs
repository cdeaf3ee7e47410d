//! The two things the farm wants of GitHub: where a branch is, and that a commit has a status.
//!
//! The operator says where the API is and with which token it is used. Answers are read under a
//! limit, redirects are not followed, and the token is in no text that leaves this crate.

mod repository;

use std::fmt;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};
use slipway_domain::{CommitSha, GitRef};
use url::Url;

pub use repository::GithubRepository;

/// Where the API of github.com is.
pub const PUBLIC_API: &str = "https://api.github.com";
/// How long it may take to reach the API.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a whole exchange may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 256 * 1024;
/// The version of the API that is spoken.
const VERSION: (&str, &str) = ("X-GitHub-Api-Version", "2022-11-28");
/// The longest description of a status that is taken, in characters.
const MAX_DESCRIPTION: usize = 140;
/// What stands for itself in one part of a path.
const PART: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A client of one GitHub. Clones share connections.
#[derive(Clone)]
pub struct Github {
    http: reqwest::Client,
    base: Url,
    token: Option<HeaderValue>,
}

/// Why GitHub did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum GithubError {
    /// The address of the API is none.
    #[error("{0:?} is not the address of an API: expected a URL such as https://api.github.com")]
    Address(String),
    /// The token cannot be sent in a header.
    #[error("the GitHub token has characters that no token has")]
    Token,
    /// The client could not be made.
    #[error("the client for GitHub could not be made")]
    Setup(#[source] reqwest::Error),
    /// GitHub could not be reached, or did not answer in time.
    #[error("GitHub did not answer")]
    Unreachable(#[source] reqwest::Error),
    /// GitHub answered something else than was asked for.
    #[error("GitHub answered {status}")]
    Refused {
        /// The status.
        status: u16,
    },
    /// The answer is not what the API promises.
    #[error("GitHub's answer could not be read")]
    Unreadable,
}

/// What a commit is said to have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is being built.
    Pending,
    /// It was built.
    Success,
    /// It could not be built.
    Failure,
}

/// A status of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitStatus {
    /// What the commit came to.
    pub state: State,
    /// The name under which it is shown; a later status of the same name replaces it.
    pub context: &'static str,
    /// One sentence; what is longer than GitHub takes is cut.
    pub description: String,
    /// What the status links to.
    pub target_url: Option<String>,
}

#[derive(Deserialize)]
struct RefAnswer {
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
    /// Makes a client of the API at `base`, such as `https://ghe.example/api/v3`. Nothing is sent.
    ///
    /// # Errors
    /// `Address` when it is none, `Token` when the token cannot be sent.
    pub fn new(base: &str, token: Option<&str>) -> Result<Self, GithubError> {
        // Another part of the program may have chosen a provider before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = Url::parse(base)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let token = token.map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
            value.set_sensitive(true);
            Ok::<_, reqwest::header::InvalidHeaderValue>(value)
        });
        Ok(Self {
            http: reqwest::Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(GithubError::Setup)?,
            base: url.ok_or_else(|| GithubError::Address(base.to_owned()))?,
            token: token.transpose().map_err(|_| GithubError::Token)?,
        })
    }

    /// Whether there is a token, without which no status is taken.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The repository on this GitHub that is cloned from `repo_url`; `None` when it is elsewhere.
    pub fn repository(&self, repo_url: &str) -> Option<GithubRepository> {
        GithubRepository::at(&self.base, repo_url)
    }

    /// The commit that a branch points to; `None` when GitHub knows no such branch.
    ///
    /// # Errors
    /// When GitHub does not answer, or not with that.
    pub async fn branch_head(
        &self,
        repository: &GithubRepository,
        branch: &GitRef,
    ) -> Result<Option<CommitSha>, GithubError> {
        let mut path = vec!["git", "ref", "heads"];
        path.extend(branch.as_str().split('/'));
        let answer = self
            .send(self.request(Method::GET, repository, &path))
            .await?;
        match answer.status() {
            StatusCode::OK => {}
            // 409 is the word for a repository in which there is nothing yet.
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => return Ok(None),
            other => return Err(refused(other)),
        }
        let body = body(answer).await?;
        let found: RefAnswer =
            serde_json::from_slice(&body).map_err(|_| GithubError::Unreadable)?;
        let sha = found.object.sha.parse();
        sha.map(Some).map_err(|_| GithubError::Unreadable)
    }

    /// Gives a commit a status.
    ///
    /// # Errors
    /// When GitHub does not answer, or does not take it.
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
        let parts = ["repos", &repository.owner, &repository.name];
        let mut url = self.base.as_str().trim_end_matches('/').to_owned();
        for part in parts.iter().chain(path) {
            url.push('/');
            url.extend(utf8_percent_encode(part, PART));
        }
        let request = self
            .http
            .request(method, url)
            .header(ACCEPT, "application/vnd.github+json")
            .header(VERSION.0, VERSION.1);
        match &self.token {
            Some(token) => request.header(reqwest::header::AUTHORIZATION, token.clone()),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, GithubError> {
        // The address is the operator's business, not that of who asked for a build.
        let answer = request.send().await;
        answer.map_err(|error| GithubError::Unreachable(error.without_url()))
    }
}

impl fmt::Debug for Github {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Github({})", self.base)
    }
}

fn refused(status: StatusCode) -> GithubError {
    GithubError::Refused {
        status: status.as_u16(),
    }
}

async fn body(mut answer: Response) -> Result<Vec<u8>, GithubError> {
    let mut body = Vec::new();
    let broken = |error: reqwest::Error| GithubError::Unreachable(error.without_url());
    while let Some(piece) = answer.chunk().await.map_err(broken)? {
        if body.len() + piece.len() > MAX_ANSWER {
            return Err(GithubError::Unreadable);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

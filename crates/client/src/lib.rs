//! A typed client of the native API.
//!
//! It has its own types and shares none with the server, so that both can have different versions:
//! unknown fields in responses are ignored.

mod error;
mod follow;
mod resources;
mod sources;
mod types;

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

pub use error::ClientError;
pub use follow::TraceEvent;
pub use sources::{BuildToCheck, CheckedBuild, ImageSpec, Source, SourceBuild, SourceDate};
pub use types::*;

/// The time limit for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept. The coordinator closes idle connections after 5 s, and a
/// request that is sent at that moment would fail.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest silence within a response. Event streams send a comment every 15 seconds.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A client of one farm with the token of one user. Clones share connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: String,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Creates a client of the farm at `url`, such as `https://slipway.example`. Sends nothing.
    ///
    /// # Errors
    /// [`ClientError::Url`] if the URL is invalid, [`ClientError::Token`] if the token cannot be sent.
    pub fn new(url: &str, token: &str) -> Result<Self, ClientError> {
        // This fails if the program has installed a provider before, and that one works as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = Url::parse(url)
            .ok()
            .filter(|base| matches!(base.scheme(), "http" | "https") && base.has_host())
            .ok_or_else(|| ClientError::Url(url.to_owned()))?;
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ClientError::Token);
        }
        let http = http_client().read_timeout(READ_TIMEOUT).build();
        Ok(Self {
            http: http.map_err(ClientError::Setup)?,
            base,
            token: token.to_owned(),
        })
    }

    /// A client without a read timeout, for uploads: the response starts only after a long body.
    fn without_read_timeout(&self) -> Result<Self, ClientError> {
        Ok(Self {
            http: http_client().build().map_err(ClientError::Setup)?,
            ..self.clone()
        })
    }

    /// Starts a request for a resource. `path` has its segments below `/v1`.
    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        self.http.request(method, url).bearer_auth(&self.token)
    }

    /// Sends a request, and returns the response if its status is a success.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|source| {
            let url = self.base.to_string();
            ClientError::Unreachable { url, source }
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap_or_default();
        Err(ClientError::from_response(status, &body))
    }

    /// Sends a request, and reads the JSON of the response.
    async fn fetch<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.send(request).await?;
        response.json().await.map_err(ClientError::Unreadable)
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        self.fetch(self.request(Method::GET, path)).await
    }

    async fn page<T: DeserializeOwned>(
        &self,
        path: &[&str],
        page: &PageRequest,
    ) -> Result<Page<T>, ClientError> {
        let request = self.request(Method::GET, path).query(page);
        self.fetch(request).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.fetch(self.request(Method::POST, path).json(body))
            .await
    }

    async fn post_empty<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        self.fetch(self.request(Method::POST, path)).await
    }

    async fn put<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.fetch(self.request(Method::PUT, path).json(body)).await
    }

    async fn patch<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.fetch(self.request(Method::PATCH, path).json(body))
            .await
    }

    async fn delete(&self, path: &[&str]) -> Result<(), ClientError> {
        let response = self.send(self.request(Method::DELETE, path)).await;
        response.map(drop)
    }
}

fn http_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("slipway-client/", env!("CARGO_PKG_VERSION")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_appended_to_the_base_url_and_escaped() {
        for base in ["https://farm.example/ci", "https://farm.example/ci/"] {
            let client = Client::new(base, "slpat-1").unwrap();
            let request = client.request(Method::GET, &["users", "a/b ?"]);
            let url = request.build().unwrap().url().to_string();
            assert_eq!(url, "https://farm.example/ci/v1/users/a%2Fb%20%3F");
        }
    }

    #[test]
    fn invalid_urls_and_tokens_are_rejected() {
        for bad in ["", "farm.example", "ftp://farm.example", "http://"] {
            assert!(
                matches!(Client::new(bad, "t"), Err(ClientError::Url(_))),
                "{bad}"
            );
        }
        for bad in ["", "a b", "a\n"] {
            let client = Client::new("http://farm.example", bad);
            assert!(matches!(client, Err(ClientError::Token)));
        }
    }

    #[test]
    fn debug_output_does_not_contain_the_token() {
        let client = Client::new("http://farm.example", "slpat-1").unwrap();
        assert!(!format!("{client:?}").contains("slpat"));
    }
}

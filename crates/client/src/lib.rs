//! A typed client of the farm's native API.
//!
//! It knows the API's shapes on its own account, and shares no type with the server, so that the
//! two can be of different versions: members that it does not know are passed over.

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

/// How long it may take to reach the farm.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may wait for its next request. The coordinator closes it after 5 s, and a
/// request that is sent at that moment is lost.
const IDLE: Duration = Duration::from_secs(3);
/// How long an answer may be silent. A stream gives a sign of life every 15 seconds.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A farm, as one user sees it. Clones share connections.
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
    /// Makes a client of the farm at `url`, such as `https://slipway.example`. Nothing is sent.
    ///
    /// # Errors
    /// `Url` when the URL is none, `Token` when the token cannot be sent.
    pub fn new(url: &str, token: &str) -> Result<Self, ClientError> {
        // Another part of the program may have chosen a provider before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = Url::parse(url)
            .ok()
            .filter(|base| matches!(base.scheme(), "http" | "https") && base.has_host())
            .ok_or_else(|| ClientError::Url(url.to_owned()))?;
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ClientError::Token);
        }
        let http = connections().read_timeout(READ_TIMEOUT).build();
        Ok(Self {
            http: http.map_err(ClientError::Setup)?,
            base,
            token: token.to_owned(),
        })
    }

    /// The same farm for requests whose bodies take their time: no answer comes before their end.
    fn patient(&self) -> Result<Self, ClientError> {
        Ok(Self {
            http: connections().build().map_err(ClientError::Setup)?,
            ..self.clone()
        })
    }

    /// Begins a request for the resource that `path`, below `/v1`, leads to.
    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        self.http.request(method, url).bearer_auth(&self.token)
    }

    /// Sends a request, and returns the answer if it is a success.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let answer = request.send().await.map_err(|source| {
            let url = self.base.to_string();
            ClientError::Unreachable { url, source }
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let body = answer.bytes().await.unwrap_or_default();
        Err(ClientError::of_answer(status, &body))
    }

    /// Sends a request, and reads the answer.
    async fn fetch<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let answer = self.send(request).await?;
        answer.json().await.map_err(ClientError::Unreadable)
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

    async fn act<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
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
        let answer = self.send(self.request(Method::DELETE, path)).await;
        answer.map(drop)
    }
}

fn connections() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("slipway-client/", env!("CARGO_PKG_VERSION")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_put_below_the_farms_own_and_is_escaped() {
        for base in ["https://farm.example/ci", "https://farm.example/ci/"] {
            let client = Client::new(base, "slpat-1").unwrap();
            let request = client.request(Method::GET, &["users", "a/b ?"]);
            let url = request.build().unwrap().url().to_string();
            assert_eq!(url, "https://farm.example/ci/v1/users/a%2Fb%20%3F");
        }
    }

    #[test]
    fn what_is_no_farm_or_no_token_is_refused_before_anything_is_sent() {
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
    fn a_client_does_not_show_its_token() {
        let client = Client::new("http://farm.example", "slpat-1").unwrap();
        assert!(!format!("{client:?}").contains("slpat"));
    }
}

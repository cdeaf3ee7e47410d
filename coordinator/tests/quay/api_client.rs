//! A test client of the API, and assertions on its responses.

use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use slipway_testkit::TestFarm;

pub(crate) use crate::client::ApiResponse;

/// The builds of the private repository `ada/app`.
pub(crate) const BUILDS: &str = "/api/v1/repository/ada/app/build/";
/// The builds of the public repository `ada/pub`.
pub(crate) const PUBLIC_BUILDS: &str = "/api/v1/repository/ada/pub/build/";
/// The source of most builds. The coordinator does not fetch it.
pub(crate) const SOURCE_URL: &str = "https://example.com/src.tar.gz";

/// A client of the API, with or without a token. It follows no redirects.
#[derive(Clone)]
pub(crate) struct ApiClient {
    base: String,
    /// Empty for a client without a token.
    pub(crate) token: String,
    http: reqwest::Client,
}

impl ApiClient {
    pub(crate) fn new(farm: &TestFarm, token: Option<&str>) -> Self {
        Self {
            base: farm.url(""),
            token: token.unwrap_or_default().to_owned(),
            http: slipway_testkit::http()
                .redirect(Policy::none())
                .build()
                .unwrap(),
        }
    }

    /// A request without a credential. `path` may also be a whole URL.
    pub(crate) fn request_without_token(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.base)
        };
        self.http.request(method, url)
    }

    /// A request with the token, if the client has one.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.request_without_token(method, path);
        if self.token.is_empty() {
            request
        } else {
            request.bearer_auth(&self.token)
        }
    }

    pub(crate) async fn get(&self, path: &str) -> ApiResponse {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> ApiResponse {
        send(self.request(Method::DELETE, path)).await
    }

    /// Sends a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> ApiResponse {
        send(self.request(Method::POST, path).json(body)).await
    }

    /// Creates a build of `ada/app` and returns it.
    pub(crate) async fn create(&self, body: &Value) -> Value {
        self.post(BUILDS, body).await.is(201).json()
    }
}

/// Sends a request, and asserts that pages of other origins may read the response.
pub(crate) async fn send(request: RequestBuilder) -> ApiResponse {
    let response = ApiResponse::to(request).await;
    let origin = response.header("access-control-allow-origin");
    assert_eq!(origin, Some("*"), "{response:?}");
    response
}

impl ApiResponse {
    /// Asserts the status and a *problem* of this type, and returns the body.
    #[track_caller]
    pub(crate) fn fails_with_problem(self, status: u16, error_type: &str) -> Value {
        let response = self.is(status);
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(response.header("www-authenticate"), None);
        let body = response.json();
        assert_eq!(body["status"], status, "{body}");
        assert_eq!(body["error_type"], error_type, "{body}");
        assert_eq!(body["title"], error_type, "{body}");
        assert_eq!(body["detail"], body["error_message"], "{body}");
        let description = body["type"].as_str().unwrap();
        let path = format!("/api/v1/error/{error_type}");
        assert!(description.starts_with("http"), "{body}");
        assert!(description.ends_with(&path), "{body}");
        body
    }

    /// Like [`ApiResponse::is_problem`], and asserts the detail.
    #[track_caller]
    pub(crate) fn fails_with_detail(self, status: u16, error_type: &str, detail: &str) {
        assert_eq!(
            self.fails_with_problem(status, error_type)["detail"],
            detail
        );
    }

    /// Asserts the status and a body with a *message* that is not a problem, and returns the
    /// message.
    #[track_caller]
    pub(crate) fn fails_with_message(self, status: u16) -> Value {
        let body = self.is(status).json();
        assert!(body.get("error_type").is_none(), "{body}");
        body.get("message").expect("a message").clone()
    }

    /// Asserts 200 with a list of builds, and returns their ids.
    #[track_caller]
    pub(crate) fn build_ids(self) -> Vec<String> {
        let body = self.is(200).json();
        let builds = body["builds"].as_array().unwrap();
        let id = |build: &Value| build["id"].as_str().unwrap().to_owned();
        builds.iter().map(id).collect()
    }
}

//! A test client of the API, and assertions on its responses.

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use slipway_domain::JobId;
use slipway_testkit::TestFarm;

pub(crate) use crate::client::ApiResponse;

/// The project of the fixture.
pub(crate) const PROJECT: &str = "/projects/1";

/// The path of the list of builds.
pub(crate) fn builds_path() -> String {
    format!("{PROJECT}/builds")
}

/// The path of a build, and of `below`, which is empty or starts with a slash.
pub(crate) fn build_path(id: JobId, below: &str) -> String {
    format!("{PROJECT}/builds/{id}{below}")
}

/// A client of the API that sends its token as `PRIVATE-TOKEN`.
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
            http: farm.http.clone(),
        }
    }

    /// A request without a token. `path` is below `/api/v3`, or a whole URL.
    pub(crate) fn request_without_token(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}/api/v3{path}", self.base)
        };
        self.http.request(method, url)
    }

    /// A request with the token, if the client has one.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.request_without_token(method, path);
        if self.token.is_empty() {
            request
        } else {
            request.header("PRIVATE-TOKEN", &self.token)
        }
    }

    pub(crate) async fn get(&self, path: &str) -> ApiResponse {
        send(self.request(Method::GET, path)).await
    }

    /// Sends a POST without a body and without a content type.
    pub(crate) async fn post(&self, path: &str) -> ApiResponse {
        send(self.request(Method::POST, path)).await
    }

    /// Sends a JSON body.
    pub(crate) async fn json(&self, method: Method, path: &str, body: &Value) -> ApiResponse {
        send(self.request(method, path).json(body)).await
    }
}

/// Sends a request, and asserts that the response is not a redirect, which this API never sends.
pub(crate) async fn send(request: RequestBuilder) -> ApiResponse {
    let response = ApiResponse::to(request).await;
    assert!(response.headers.get(LOCATION).is_none(), "{response:?}");
    response
}

impl ApiResponse {
    /// Asserts the status and the JSON body.
    #[track_caller]
    pub(crate) fn has_json(self, status: u16, body: &Value) -> Self {
        let response = self.is(status);
        let content_type = response.headers.get(CONTENT_TYPE);
        assert_eq!(content_type.unwrap(), "application/json");
        assert_eq!(&response.json(), body);
        response
    }

    /// Asserts the status and a JSON body that has only this `error`.
    #[track_caller]
    pub(crate) fn has_error(self, status: u16, error: &str) -> Self {
        self.has_json(status, &json!({ "error": error }))
    }

    /// Asserts 200 with a list, and returns its items.
    #[track_caller]
    pub(crate) fn items(self) -> Vec<Value> {
        match self.is(200).json() {
            Value::Array(items) => items,
            other => panic!("not a list: {other}"),
        }
    }

    /// Asserts 200 with a list, and returns the ids of its items.
    #[track_caller]
    pub(crate) fn ids(self) -> Vec<i64> {
        let items = self.items();
        items
            .iter()
            .map(|item| item["id"].as_i64().unwrap())
            .collect()
    }
}

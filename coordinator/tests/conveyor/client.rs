//! A farm as clients of this API meet it.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use slipway_coordinator::Config;
use slipway_farm::{Build, BuildFilter, Page};
use slipway_testkit::{Backend, TestFarm};
use tempfile::TempDir;

#[path = "../support/response.rs"]
mod response;

pub(crate) use response::ApiResponse;

/// How long anything may take that is not waited for by the contract's own measure.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
/// A commit.
pub(crate) const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
/// The project of most tests.
pub(crate) const REPOSITORY: &str = "acme/api";

impl ApiResponse {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// It is an error of this status and id, in the shape of all errors.
    #[track_caller]
    pub(crate) fn fails(self, status: u16, id: &str) -> Self {
        let answer = self.is(status);
        let body = answer.json();
        assert_eq!(body["id"], id, "{body}");
        assert!(body["message"].is_string(), "{body}");
        assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        answer
    }

    /// It is the "not found" that the generated client looks for.
    #[track_caller]
    pub(crate) fn not_found(self) {
        let body = self.is(404).json();
        let expected = json!({"id": "not_found", "message": "resource was not found"});
        assert_eq!(body, expected);
    }
}

/// A farm with the private project [`REPOSITORY`].
pub(crate) struct Yard {
    pub(crate) farm: TestFarm,
    /// Files that the configuration names.
    _files: TempDir,
}

impl Yard {
    pub(crate) async fn new(backend: Backend) -> Self {
        Self::with(backend, |_, _| {}).await
    }

    /// [`Yard::new`], with a configuration that `adjust` has changed, and which may name files.
    pub(crate) async fn with(
        backend: Backend,
        adjust: impl FnOnce(&mut Config, &std::path::Path),
    ) -> Self {
        let files = tempfile::tempdir().unwrap();
        let folder = files.path().to_owned();
        let start = TestFarm::start_with(backend, |config| {
            config.registry = Some("registry.example:5000".to_owned());
            adjust(config, &folder);
        });
        let farm = start.await;
        farm.project(REPOSITORY).await;
        Self {
            farm,
            _files: files,
        }
    }

    /// A request without a credential.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.farm.http.request(method, self.farm.url(path))
    }

    pub(crate) async fn send(request: RequestBuilder) -> ApiResponse {
        ApiResponse::to(request).await
    }

    /// A request as `curl -n` sends it, as the administrator.
    pub(crate) fn curl(&self, method: Method, path: &str) -> RequestBuilder {
        let token = &self.farm.admin_token;
        self.request(method, path)
            .basic_auth("anybody", Some(token))
    }

    pub(crate) async fn get(&self, path: &str) -> ApiResponse {
        Self::send(self.curl(Method::GET, path)).await
    }

    /// Asks for a build with this body, whatever it says it is.
    pub(crate) async fn ask_raw(&self, body: &str) -> ApiResponse {
        let request = self.curl(Method::POST, "/builds");
        Self::send(request.body(body.to_owned())).await
    }

    pub(crate) async fn ask(&self, body: Value) -> ApiResponse {
        self.ask_raw(&body.to_string()).await
    }

    /// Asks for a build of [`SHA`] on `main` of [`REPOSITORY`], and gives it.
    pub(crate) async fn build(&self) -> Value {
        self.ask(main(SHA)).await.is(201).json()
    }

    pub(crate) async fn show(&self, build: &Value) -> Value {
        let id = build["id"].as_str().unwrap();
        self.get(&format!("/builds/{id}")).await.is(200).json()
    }

    /// The native API as the administrator; the answer has to be a success.
    pub(crate) async fn native(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self
            .request(method, path)
            .header("PRIVATE-TOKEN", &self.farm.admin_token);
        let answer = Self::send(request.json(&body)).await;
        assert!(answer.status < 300, "{path}: {answer:?}");
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
    }

    /// Changes the project [`REPOSITORY`].
    pub(crate) async fn change(&self, change: Value) {
        let path = format!("/v1/projects/{REPOSITORY}");
        self.native(Method::PATCH, &path, change).await;
    }

    /// A user with a token of this scope, who has `role` in the project, or none.
    pub(crate) async fn user(&self, name: &str, scope: &str, role: Option<&str>) -> String {
        self.native(Method::POST, "/v1/users", json!({"name": name}))
            .await;
        if let Some(role) = role {
            let path = format!("/v1/projects/{REPOSITORY}/members/{name}");
            self.native(Method::PUT, &path, json!({"role": role})).await;
        }
        let path = format!("/v1/users/{name}/tokens");
        let body = json!({"name": "test", "scopes": [scope]});
        let made = self.native(Method::POST, &path, body).await;
        made["token"].as_str().unwrap().to_owned()
    }

    /// The builds there are of a project, newest first.
    pub(crate) async fn rows(&self, repository: &str) -> Vec<Build> {
        let access = self.farm.project(repository).await;
        let all = Page {
            before: None,
            limit: 1000,
        };
        let rows = self
            .farm
            .farm()
            .builds(&access, BuildFilter::default(), all);
        rows.await.unwrap()
    }

    /// The one build that there is of [`REPOSITORY`].
    pub(crate) async fn only_row(&self) -> Build {
        let mut rows = self.rows(REPOSITORY).await;
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    }
}

/// A request for a commit on `main` of [`REPOSITORY`].
pub(crate) fn main(sha: &str) -> Value {
    json!({"repository": REPOSITORY, "branch": "main", "sha": sha})
}

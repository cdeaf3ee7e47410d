//! A farm with a project, and requests to it.

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

/// How long a step may take whose delay the protocol does not limit.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The commit of most builds.
pub(crate) const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

/// The project of most tests.
pub(crate) const REPOSITORY: &str = "acme/api";

impl ApiResponse {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Asserts an error with this status and id, in the format of all errors.
    #[track_caller]
    pub(crate) fn fails_with_id(self, status: u16, id: &str) -> Self {
        let response = self.is(status);
        let body = response.json();
        assert_eq!(body["id"], id, "{body}");
        assert!(body["message"].is_string(), "{body}");
        assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
        assert_eq!(response.header("content-type"), Some("application/json"));
        response
    }

    /// Asserts the exact error that the generated client takes for "not found".
    #[track_caller]
    pub(crate) fn fails_with_not_found(self) {
        let body = self.is(404).json();
        let expected = json!({"id": "not_found", "message": "resource was not found"});
        assert_eq!(body, expected);
    }
}

/// A farm with the private project [`REPOSITORY`].
pub(crate) struct Fixture {
    pub(crate) farm: TestFarm,
    /// Holds the files that the configuration names.
    _files: TempDir,
}

impl Fixture {
    pub(crate) async fn new(backend: Backend) -> Self {
        Self::with(backend, |_, _| {}).await
    }

    /// Starts a farm with a configuration that `adjust` changes. It may write files into the directory.
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

    /// A request of the administrator, with the credentials as `curl -n` sends them.
    pub(crate) fn request_as_admin(&self, method: Method, path: &str) -> RequestBuilder {
        let token = &self.farm.admin_token;
        self.request(method, path)
            .basic_auth("any-name", Some(token))
    }

    pub(crate) async fn get(&self, path: &str) -> ApiResponse {
        Self::send(self.request_as_admin(Method::GET, path)).await
    }

    /// Sends `POST /builds` with a body that need not be JSON.
    pub(crate) async fn create_raw(&self, body: &str) -> ApiResponse {
        let request = self.request_as_admin(Method::POST, "/builds");
        Self::send(request.body(body.to_owned())).await
    }

    /// Sends `POST /builds`.
    pub(crate) async fn create(&self, body: Value) -> ApiResponse {
        self.create_raw(&body.to_string()).await
    }

    /// Creates a build of [`SHA`] on `main` of [`REPOSITORY`].
    pub(crate) async fn create_build(&self) -> Value {
        self.create(commit_on_main(SHA)).await.is(201).json()
    }

    pub(crate) async fn read_build(&self, build: &Value) -> Value {
        let id = build["id"].as_str().unwrap();
        self.get(&format!("/builds/{id}")).await.is(200).json()
    }

    /// Calls the native API as the administrator and asserts success.
    pub(crate) async fn native_api(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self
            .request(method, path)
            .header("PRIVATE-TOKEN", &self.farm.admin_token);
        let response = Self::send(request.json(&body)).await;
        assert!(response.status < 300, "{path}: {response:?}");
        serde_json::from_slice(&response.body).unwrap_or(Value::Null)
    }

    /// Updates the project [`REPOSITORY`].
    pub(crate) async fn update_project(&self, change: Value) {
        let path = format!("/v1/projects/{REPOSITORY}");
        self.native_api(Method::PATCH, &path, change).await;
    }

    /// Creates a user, with an optional role in the project, and returns a token with this scope.
    pub(crate) async fn create_user(&self, name: &str, scope: &str, role: Option<&str>) -> String {
        self.native_api(Method::POST, "/v1/users", json!({"name": name}))
            .await;
        if let Some(role) = role {
            let path = format!("/v1/projects/{REPOSITORY}/members/{name}");
            self.native_api(Method::PUT, &path, json!({"role": role}))
                .await;
        }
        let path = format!("/v1/users/{name}/tokens");
        let body = json!({"name": "test", "scopes": [scope]});
        let created = self.native_api(Method::POST, &path, body).await;
        created["token"].as_str().unwrap().to_owned()
    }

    /// The builds of a project, newest first.
    pub(crate) async fn builds(&self, repository: &str) -> Vec<Build> {
        let access = self.farm.project(repository).await;
        let all = Page {
            before: None,
            limit: 1000,
        };
        let builds = self
            .farm
            .farm()
            .builds(&access, BuildFilter::default(), all);
        builds.await.unwrap()
    }

    /// The build of [`REPOSITORY`], which must have exactly one.
    pub(crate) async fn only_build(&self) -> Build {
        let mut builds = self.builds(REPOSITORY).await;
        assert_eq!(builds.len(), 1, "{builds:?}");
        builds.remove(0)
    }
}

/// The body that requests a commit on `main` of [`REPOSITORY`].
pub(crate) fn commit_on_main(sha: &str) -> Value {
    json!({"repository": REPOSITORY, "branch": "main", "sha": sha})
}

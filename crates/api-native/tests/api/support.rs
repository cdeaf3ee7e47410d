//! A new farm for each test, and requests to its routes.

use actix_web::http::header::HeaderMap;
use actix_web::http::{Method, StatusCode};
use actix_web::{App, test, web};
use bytes::Bytes;
use serde_json::{Value, json};
use slipway_blobs::{BlobLocation, Blobs};
use slipway_domain::{AccessToken, RunnerToken};
use slipway_farm::{
    Chance, ClaimedJob, Clock, FailPoints, Farm, Parts, Poll, PollAnswer, Runner, RunnerRequest,
    SealKey, Settings,
};
use slipway_git::{Git, Limits};
use slipway_http::BodyRules;
use slipway_outbound::{NetworkPolicy, Outbound};
use slipway_store::Store;
use tempfile::TempDir;

/// The commit that tests build. A full SHA needs no request to a repository.
pub(crate) const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

/// A farm with the administrator `root`.
pub(crate) struct Api {
    pub(crate) farm: Farm,
    /// A token of the administrator, with all scopes.
    pub(crate) root: String,
    pub(crate) clock: Clock,
    _folder: TempDir,
}

/// The response of a route.
pub(crate) struct ApiResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl ApiResponse {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Asserts the status, and that errors have a code and a message.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{text}");
        if status >= 400 {
            assert!(self.json()["error"]["code"].is_string(), "{text}");
            assert!(self.json()["error"]["message"].is_string(), "{text}");
        }
        self
    }

    /// The value of a header.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }
}

impl Api {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite://{}", folder.path().join("db").display());
        let blobs = BlobLocation::Directory(folder.path().join("blobs"));
        let clock = Clock::manual();
        let outbound = Outbound::start(NetworkPolicy::default()).unwrap();
        let parts = Parts {
            store: Store::open(&database.parse().unwrap()).await.unwrap(),
            blobs: Blobs::open(&blobs).await.unwrap(),
            git: Git::new(Limits::default(), outbound).unwrap(),
            clock: clock.clone(),
            chance: Chance,
            fail_points: FailPoints::default(),
            seal: SealKey::from_hex(&"5a".repeat(32)).unwrap(),
            settings: Settings {
                registry: Some("registry.example".to_owned()),
                // The repositories of these tests do not exist.
                pipelines_from_repository: false,
                ..Settings::default()
            },
        };
        let farm = Farm::open(parts).await.unwrap();
        let created = farm.bootstrap(None, None).await.unwrap();
        Self {
            farm,
            clock,
            root: created.admin_token.unwrap().expose().to_owned(),
            _folder: folder,
        }
    }

    /// Calls a route with headers and, if given, a JSON body.
    pub(crate) async fn call_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> ApiResponse {
        let data = web::Data::new(self.farm.clone());
        let app = App::new()
            .app_data(data)
            .app_data(web::Data::new(BodyRules::default()))
            .configure(slipway_api_native::configure);
        let app = test::init_service(app).await;
        let mut request = test::TestRequest::with_uri(path)
            .method(Method::from_bytes(method.as_bytes()).unwrap());
        for header in headers {
            request = request.append_header(*header);
        }
        if let Some(body) = body {
            request = request.set_json(body);
        }
        // An error in the middleware is not a response yet: the server would make it into one.
        let (status, headers, body) = match test::try_call_service(&app, request.to_request()).await
        {
            Ok(response) => {
                let (status, headers) = (response.status(), response.headers().clone());
                (status, headers, test::read_body(response).await)
            }
            Err(error) => {
                let response = error.error_response();
                let (status, headers) = (response.status(), response.headers().clone());
                let body = actix_web::body::to_bytes(response.into_body()).await;
                (status, headers, body.unwrap())
            }
        };
        ApiResponse {
            status,
            headers,
            body,
        }
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> ApiResponse {
        self.call_with("GET", path, &[("private-token", token)], None)
            .await
    }

    pub(crate) async fn delete(&self, token: &str, path: &str) -> ApiResponse {
        self.call_with("DELETE", path, &[("private-token", token)], None)
            .await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, body: Value) -> ApiResponse {
        self.call_with("POST", path, &[("private-token", token)], Some(body))
            .await
    }

    pub(crate) async fn put(&self, token: &str, path: &str, body: Value) -> ApiResponse {
        self.call_with("PUT", path, &[("private-token", token)], Some(body))
            .await
    }

    pub(crate) async fn patch(&self, token: &str, path: &str, body: Value) -> ApiResponse {
        self.call_with("PATCH", path, &[("private-token", token)], Some(body))
            .await
    }

    /// Creates a user, and a token for it with these scopes.
    pub(crate) async fn user(&self, name: &str, scopes: &[&str]) -> String {
        let body = json!({"name": name});
        self.post(&self.root, "/v1/users", body).await.expect(201);
        self.token(name, scopes).await
    }

    /// Creates another token for a user.
    pub(crate) async fn token(&self, name: &str, scopes: &[&str]) -> String {
        let path = format!("/v1/users/{name}/tokens");
        let body = json!({"name": "test", "scopes": scopes});
        let created = self.post(&self.root, &path, body).await.expect(201);
        created.json()["token"].as_str().unwrap().to_owned()
    }

    /// Gives a user a role in a namespace or project. `of` is its path under `/v1`.
    pub(crate) async fn member(&self, of: &str, name: &str, role: &str) {
        let path = format!("/v1/{of}/members/{name}");
        let body = json!({"role": role});
        self.put(&self.root, &path, body).await.expect(200);
    }

    /// Creates the namespace `acme` and the project `acme/api`.
    pub(crate) async fn project(&self) {
        let body = json!({"name": "acme"});
        self.post(&self.root, "/v1/namespaces", body)
            .await
            .expect(201);
        let body =
            json!({"namespace": "acme", "name": "api", "repo_url": "https://git.example/acme/api"});
        self.post(&self.root, "/v1/projects", body)
            .await
            .expect(201);
    }

    /// Creates a build of `acme/api`.
    pub(crate) async fn build(&self) -> Value {
        let path = "/v1/projects/acme/api/builds";
        let body = json!({"sha": SHA, "ref": "main"});
        self.post(&self.root, path, body).await.expect(201).json()
    }

    /// Registers a shared runner.
    pub(crate) async fn runner(&self) -> Runner {
        let body = json!({"description": "test"});
        let created = self.post(&self.root, "/v1/registration-tokens", body).await;
        let token = created.expect(201).json()["token"]
            .as_str()
            .unwrap()
            .to_owned();
        let token = slipway_domain::RegistrationToken::presented(token);
        let request = RunnerRequest {
            run_untagged: true,
            heartbeat: true,
            ..RunnerRequest::default()
        };
        let (_, token): (Runner, RunnerToken) =
            self.farm.register_runner(&token, request).await.unwrap();
        self.farm.runner_by_token(&token).await.unwrap()
    }

    /// Claims the next job.
    pub(crate) async fn claim(&self, runner: &Runner) -> ClaimedJob {
        match self.farm.poll(runner, Poll::default()).await.unwrap() {
            PollAnswer::Job(job) => *job,
            PollAnswer::Nothing { .. } | PollAnswer::Paused => panic!("no job is pending"),
        }
    }

    /// Whether a token is valid.
    pub(crate) async fn works(&self, token: &str) -> bool {
        let token = AccessToken::presented(token);
        self.farm.authenticate(&token).await.is_ok()
    }
}

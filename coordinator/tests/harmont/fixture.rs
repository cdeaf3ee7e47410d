//! A farm with an organization, its members and pipelines; a client of the API; a runner.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use slipway_coordinator::Config;
use slipway_domain::{Name, Role, Slug};
use slipway_farm::PipelineUpdate;
use slipway_testkit::{Backend, TestFarm};

pub(crate) use crate::client::{ApiResponse, Claim};
use crate::slipway_runner::SlipwayRunner;

/// The path of the organization.
pub(crate) const ORGANIZATION: &str = "/api/v0/organizations/acme";

/// The path of the builds of the pipeline `web`.
pub(crate) const BUILDS: &str = "/api/v0/organizations/acme/pipelines/web/builds";

/// A graph of two commands. The second one starts from the container of the first.
pub(crate) fn two_steps() -> Value {
    json!({"version": "0", "steps": [
        {"type": "command", "key": "a", "cmd": "make a"},
        {"type": "command", "key": "b", "cmd": "make b", "label": "B", "builds_in": "a"},
    ]})
}

/// A graph of commands that do not depend on each other.
pub(crate) fn independent_steps(keys: &[&str]) -> Value {
    let step = |key: &&str| json!({"type": "command", "key": key, "cmd": "true"});
    let steps: Vec<Value> = keys.iter().map(step).collect();
    json!({"version": "0", "steps": steps})
}

/// The body that creates a build with a graph.
pub(crate) fn build_request(graph: &Value) -> Value {
    json!({"branch": "main", "commit": "6c1d3f0e9a", "pipeline_ir": graph.to_string()})
}

/// A farm with the organization `acme`, two users and the pipeline `web`.
pub(crate) struct Fixture {
    pub(crate) farm: TestFarm,
    /// The user `ana`, a developer of `acme`.
    pub(crate) member: Client,
    /// The user `olaf`, who is not a member of `acme`.
    pub(crate) outsider: Client,
    /// A client without a token.
    pub(crate) anonymous: Client,
}

impl Fixture {
    pub(crate) async fn new(backend: Backend) -> Self {
        Self::with(backend, |_| {}).await
    }

    /// Starts a farm with a configuration that `adjust` changes.
    pub(crate) async fn with(backend: Backend, adjust: impl FnOnce(&mut Config)) -> Self {
        let farm = TestFarm::start_with(backend, |config| {
            config.registry = Some("registry.example".to_owned());
            adjust(config);
        });
        let farm = farm.await;
        let admin = farm.admin().await;
        let acme: Name = "acme".parse().unwrap();
        farm.farm().create_namespace(&admin, &acme).await.unwrap();
        let member = Client::new(&farm, &farm.user("ana").await);
        let outsider = Client::new(&farm, &farm.user("olaf").await);
        farm.namespace_member("acme", "ana", Role::Developer).await;
        let anonymous = Client::new(&farm, "");
        let fixture = Self {
            farm,
            member,
            outsider,
            anonymous,
        };
        fixture
            .create_pipeline("web", PipelineUpdate::default())
            .await;
        fixture
    }

    /// Creates a pipeline, and sets the properties that only an operator can set.
    pub(crate) async fn create_pipeline(&self, name: &str, update: PipelineUpdate) {
        let body = json!({
            "name": name, "repository": "http://127.0.0.1:1/none.git", "default_branch": "main",
        });
        let created = self
            .member
            .post(&format!("{ORGANIZATION}/pipelines"), &body)
            .await;
        let slug = created.is(201).json()["slug"].as_str().unwrap().to_owned();
        let access = self.farm.project(&format!("acme/{slug}")).await;
        let default = Slug::default_pipeline();
        let updated = self
            .farm
            .farm()
            .describe_pipeline(&access, &default, update);
        updated.await.unwrap();
    }

    /// Creates the pipeline `locked`, which does not allow manual builds.
    pub(crate) async fn create_locked_pipeline(&self) {
        let update = PipelineUpdate {
            allow_manual: Some(false),
            ..PipelineUpdate::default()
        };
        self.create_pipeline("locked", update).await;
    }

    /// Creates the pipeline `acme-web-ci`, with the source slug `ci` in the repository `Acme/Web`.
    pub(crate) async fn create_source_pipeline(&self) {
        let update = PipelineUpdate {
            repo_name: Some(Some("Acme/Web".to_owned())),
            source_slug: Some(Some("ci".to_owned())),
            ..PipelineUpdate::default()
        };
        self.create_pipeline("acme-web-ci", update).await;
    }

    /// Creates a build of a graph in `web` and returns its number. Advances the clock by a second first,
    /// so that builds differ in their time.
    pub(crate) async fn create_build(&self, graph: &Value) -> i64 {
        self.farm.advance(1);
        let created = self
            .member
            .post(BUILDS, &build_request(graph))
            .await
            .is(201)
            .json();
        created["number"].as_i64().unwrap()
    }

    /// Reads a build of `web`.
    pub(crate) async fn read_build(&self, number: i64) -> Value {
        self.member
            .get(&format!("{BUILDS}/{number}"))
            .await
            .is(200)
            .json()
    }

    /// Lists the jobs of a build of `web`.
    pub(crate) async fn jobs(&self, number: i64) -> Vec<Value> {
        let path = format!("{BUILDS}/{number}/jobs");
        let list = self.member.get(&path).await.is(200).json();
        assert_eq!(list.as_object().unwrap().len(), 1, "{list}");
        list["data"].as_array().unwrap().clone()
    }

    /// The states of the jobs of a build of `web`.
    pub(crate) async fn job_states(&self, number: i64) -> Vec<String> {
        let jobs = self.jobs(number).await;
        let state = |job: &Value| job["state"].as_str().unwrap().to_owned();
        jobs.iter().map(state).collect()
    }

    /// The number of builds of `web`.
    pub(crate) async fn count_builds(&self) -> usize {
        let list = self
            .member
            .get(&format!("{BUILDS}?limit=100"))
            .await
            .is(200)
            .json();
        list["data"].as_array().unwrap().len()
    }

    /// Registers a runner that announces itself as `slipway-runner`.
    pub(crate) async fn register_runner(&self) -> SlipwayRunner {
        SlipwayRunner::register(&self.farm).await
    }
}

impl SlipwayRunner {
    /// Claims a job and reports that it is running.
    pub(crate) async fn start_job(&self) -> Claim {
        let claim = self.claim().await;
        let body = json!({"state": "running", "phase": "building"});
        claim.put(body).await.is(200);
        claim
    }
}

/// A client of the API.
#[derive(Clone)]
pub(crate) struct Client {
    base: String,
    /// Empty for an anonymous client.
    pub(crate) token: String,
    http: reqwest::Client,
}

impl Client {
    /// A client with a token, or an anonymous one if the token is empty.
    pub(crate) fn new(farm: &TestFarm, token: &str) -> Self {
        Self {
            base: farm.url(""),
            token: token.to_owned(),
            http: slipway_testkit::http().build().unwrap(),
        }
    }

    /// The same client with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// A request with the token, if there is one.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        if self.token.is_empty() {
            request
        } else {
            request.bearer_auth(&self.token)
        }
    }

    pub(crate) async fn get(&self, path: &str) -> ApiResponse {
        ApiResponse::to(self.request(Method::GET, path)).await
    }

    /// Sends a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> ApiResponse {
        ApiResponse::to(self.request(Method::POST, path).json(body)).await
    }

    /// Sends a body with the media type of JSON, which need not be JSON.
    pub(crate) async fn post_text(&self, path: &str, body: &str) -> ApiResponse {
        let request = self.request(Method::POST, path);
        let request = request.header(CONTENT_TYPE, "application/json");
        ApiResponse::to(request.body(body.to_owned())).await
    }

    /// Sends a request without a body and without a `Content-Type`.
    pub(crate) async fn send_empty(&self, method: Method, path: &str) -> ApiResponse {
        ApiResponse::to(self.request(method, path)).await
    }
}

impl ApiResponse {
    /// Asserts an error with this status, type and code in the format of all errors, and returns it.
    #[track_caller]
    pub(crate) fn fails_with_code(self, status: u16, kind: &str, code: &str) -> Value {
        let response = self.is(status);
        let json = "application/json; charset=utf-8";
        assert_eq!(response.header("content-type"), Some(json));
        assert_eq!(response.header("www-authenticate"), None);
        let id = response.header("x-request-id").unwrap().to_owned();
        let body = response.json();
        let error = body["error"].clone();
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!(kind), &json!(code)),
            "{body}"
        );
        assert_eq!(error["request_id"], id, "{body}");
        assert!(error["message"].is_string(), "{body}");
        let link = error["doc_url"].as_str().unwrap();
        assert!(
            link.starts_with("https://docs.harmont.dev/api/errors/"),
            "{body}"
        );
        error
    }
}

/// The slugs of the items on a page.
pub(crate) fn slugs(list: &Value) -> Vec<&str> {
    let data = list["data"].as_array().unwrap().iter();
    data.map(|item| item["slug"].as_str().unwrap()).collect()
}

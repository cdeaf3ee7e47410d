//! What the checks share: an organization with its people and pipelines, a client of the API, and a
//! runner that is ours.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use slipway_coordinator::Config;
use slipway_domain::{Name, Role, Slug};
use slipway_farm::PipelineUpdate;
use slipway_testkit::{Backend, TestFarm};

pub(crate) use crate::client::{ApiResponse, Claim};
use crate::slipway_runner::SlipwayRunner;

/// The organization.
pub(crate) const ACME: &str = "/api/v0/organizations/acme";
/// The builds of the pipeline `web`.
pub(crate) const B: &str = "/api/v0/organizations/acme/pipelines/web/builds";

/// A graph of two commands, of which the second builds in the first.
pub(crate) fn g() -> Value {
    json!({"version": "0", "steps": [
        {"type": "command", "key": "a", "cmd": "make a"},
        {"type": "command", "key": "b", "cmd": "make b", "label": "B", "builds_in": "a"},
    ]})
}

/// A graph of commands that do not need each other.
pub(crate) fn apart(keys: &[&str]) -> Value {
    let step = |key: &&str| json!({"type": "command", "key": key, "cmd": "true"});
    let steps: Vec<Value> = keys.iter().map(step).collect();
    json!({"version": "0", "steps": steps})
}

/// What a build of a graph is asked for with.
pub(crate) fn of(graph: &Value) -> Value {
    json!({"branch": "main", "commit": "6c1d3f0e9a", "pipeline_ir": graph.to_string()})
}

/// A farm with the organization, people and pipelines that the checks are about.
pub(crate) struct World {
    pub(crate) farm: TestFarm,
    /// A member.
    pub(crate) ana: Client,
    /// A member of nothing.
    pub(crate) olaf: Client,
    /// Nobody.
    pub(crate) nobody: Client,
}

impl World {
    pub(crate) async fn start(backend: Backend) -> Self {
        Self::with(backend, |_| {}).await
    }

    /// The same with a configuration that `adjust` has changed.
    pub(crate) async fn with(backend: Backend, adjust: impl FnOnce(&mut Config)) -> Self {
        let farm = TestFarm::start_with(backend, |config| {
            config.registry = Some("registry.example".to_owned());
            adjust(config);
        });
        let farm = farm.await;
        let admin = farm.admin().await;
        let acme: Name = "acme".parse().unwrap();
        farm.farm().create_namespace(&admin, &acme).await.unwrap();
        let ana = Client::of(&farm, &farm.user("ana").await);
        let olaf = Client::of(&farm, &farm.user("olaf").await);
        farm.namespace_member("acme", "ana", Role::Developer).await;
        let nobody = Client::of(&farm, "");
        let world = Self {
            farm,
            ana,
            olaf,
            nobody,
        };
        world.pipeline("web", PipelineUpdate::default()).await;
        world
    }

    /// Makes a pipeline, and says more of it as its operator.
    pub(crate) async fn pipeline(&self, name: &str, more: PipelineUpdate) {
        let body = json!({
            "name": name, "repository": "http://127.0.0.1:1/none.git", "default_branch": "main",
        });
        let made = self.ana.post(&format!("{ACME}/pipelines"), &body).await;
        let slug = made.is(201).json()["slug"].as_str().unwrap().to_owned();
        let access = self.farm.project(&format!("acme/{slug}")).await;
        let usual = Slug::default_pipeline();
        let described = self.farm.farm().describe_pipeline(&access, &usual, more);
        described.await.unwrap();
    }

    /// A pipeline that people cannot have run.
    pub(crate) async fn locked(&self) {
        let more = PipelineUpdate {
            allow_manual: Some(false),
            ..PipelineUpdate::default()
        };
        self.pipeline("locked", more).await;
    }

    /// The pipeline `acme-web-ci`, that is `ci` in the repository `Acme/Web`.
    pub(crate) async fn of_source(&self) {
        let more = PipelineUpdate {
            repo_name: Some(Some("Acme/Web".to_owned())),
            source_slug: Some(Some("ci".to_owned())),
            ..PipelineUpdate::default()
        };
        self.pipeline("acme-web-ci", more).await;
    }

    /// A build of a graph in `web`; gives its number. A second passes first.
    pub(crate) async fn build(&self, graph: &Value) -> i64 {
        self.farm.advance(1);
        let made = self.ana.post(B, &of(graph)).await.is(201).json();
        made["number"].as_i64().unwrap()
    }

    /// A build of `web`.
    pub(crate) async fn read(&self, number: i64) -> Value {
        self.ana.get(&format!("{B}/{number}")).await.is(200).json()
    }

    /// The jobs of a build of `web`.
    pub(crate) async fn jobs(&self, number: i64) -> Vec<Value> {
        let path = format!("{B}/{number}/jobs");
        let list = self.ana.get(&path).await.is(200).json();
        assert_eq!(list.as_object().unwrap().len(), 1, "{list}");
        list["data"].as_array().unwrap().clone()
    }

    /// The states of the jobs of a build of `web`.
    pub(crate) async fn states(&self, number: i64) -> Vec<String> {
        let jobs = self.jobs(number).await;
        let state = |job: &Value| job["state"].as_str().unwrap().to_owned();
        jobs.iter().map(state).collect()
    }

    /// How many builds `web` has.
    pub(crate) async fn count(&self) -> usize {
        let list = self.ana.get(&format!("{B}?limit=100")).await.is(200).json();
        list["data"].as_array().unwrap().len()
    }

    /// A runner that is ours.
    pub(crate) async fn runner(&self) -> SlipwayRunner {
        SlipwayRunner::register(&self.farm).await
    }
}

impl SlipwayRunner {
    /// Gets a job and begins with it.
    pub(crate) async fn begin(&self) -> Claim {
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
    /// The token.
    pub(crate) token: String,
    http: reqwest::Client,
}

impl Client {
    /// A client with any token; with none when that is empty.
    pub(crate) fn of(farm: &TestFarm, token: &str) -> Self {
        Self {
            base: farm.url(""),
            token: token.to_owned(),
            http: slipway_testkit::http().build().unwrap(),
        }
    }

    /// The same with another token.
    pub(crate) fn with(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// A request with the token, if there is one.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match self.token.is_empty() {
            true => request,
            false => request.bearer_auth(&self.token),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> ApiResponse {
        ApiResponse::to(self.request(Method::GET, path)).await
    }

    /// Sends a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> ApiResponse {
        ApiResponse::to(self.request(Method::POST, path).json(body)).await
    }

    /// Sends text that is said to be JSON.
    pub(crate) async fn post_text(&self, path: &str, body: &str) -> ApiResponse {
        let request = self.request(Method::POST, path);
        let request = request.header(CONTENT_TYPE, "application/json");
        ApiResponse::to(request.body(body.to_owned())).await
    }

    /// Sends neither a body nor a type.
    pub(crate) async fn empty(&self, method: Method, path: &str) -> ApiResponse {
        ApiResponse::to(self.request(method, path)).await
    }
}

impl ApiResponse {
    /// The status is the one expected, and the body is the error of this kind and code; gives it.
    #[track_caller]
    pub(crate) fn error(self, status: u16, kind: &str, code: &str) -> Value {
        let answer = self.is(status);
        let json = "application/json; charset=utf-8";
        assert_eq!(answer.header("content-type"), Some(json));
        assert_eq!(answer.header("www-authenticate"), None);
        let id = answer.header("x-request-id").unwrap().to_owned();
        let body = answer.json();
        let error = body["error"].clone();
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!(kind), &json!(code)),
            "{body}"
        );
        assert_eq!(error["request_id"], id, "{body}");
        assert!(error["message"].is_string(), "{body}");
        let about = error["doc_url"].as_str().unwrap();
        assert!(
            about.starts_with("https://docs.harmont.dev/api/errors/"),
            "{body}"
        );
        error
    }
}

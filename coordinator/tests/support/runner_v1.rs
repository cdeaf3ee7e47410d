//! A test client of runner protocol v1. It sends what gitlab-ci-multi-runner sends and follows no
//! redirects.

use bytes::Bytes;
use reqwest::multipart::Form;
use reqwest::redirect::Policy;
use reqwest::{Body, Method, RequestBuilder};
use serde_json::{Value, json};
use slipway_domain::{JobId, RunnerId};
use slipway_testkit::TestFarm;

mod claimed_job;
mod response;

pub(crate) use claimed_job::{Claim, chunked_part};
pub(crate) use response::ApiResponse;

/// The `User-Agent` of a released stock runner.
pub(crate) const USER_AGENT: &str =
    "gitlab-ci-multi-runner 1.9.2 (1-9-stable; go1.7.4; linux/amd64)";

impl ApiResponse {
    /// Asserts the status and a JSON body that has only this message.
    #[track_caller]
    pub(crate) fn fails_with(self, status: u16, message: &str) -> Self {
        let response = self.is(status);
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(response.json(), json!({ "message": message }));
        response
    }

    /// Asserts the status and a plain-text body, as the endpoints below `/trace.txt` send it.
    #[track_caller]
    pub(crate) fn fails_with_text(self, status: u16, text: &str) -> Self {
        let response = self.is(status);
        assert_eq!(response.header("content-type"), Some("text/plain"));
        assert_eq!(response.body, text.as_bytes());
        response
    }
}

/// The v1 endpoints of one coordinator, called the way one version of the stock runner calls them.
#[derive(Clone)]
pub(crate) struct RunnerApi {
    pub(crate) base: String,
    prefix: &'static str,
    user_agent: Option<&'static str>,
    http: reqwest::Client,
}

impl RunnerApi {
    /// Calls a farm as a released stock runner does.
    pub(crate) fn new(farm: &TestFarm) -> Self {
        Self::at(&farm.url(""))
    }

    /// Calls the coordinator at `base` (`http://host:port`) as a released stock runner does.
    pub(crate) fn at(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            prefix: "/ci/api/v1",
            user_agent: Some(USER_AGENT),
            http: slipway_testkit::http()
                .redirect(Policy::none())
                .build()
                .unwrap(),
        }
    }

    /// Sends another `User-Agent`, or none.
    pub(crate) fn with_user_agent(mut self, user_agent: Option<&'static str>) -> Self {
        self.user_agent = user_agent;
        self
    }

    /// Uses another path prefix.
    pub(crate) fn with_prefix(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{}{path}", self.base, self.prefix);
        let request = self.http.request(method, url);
        match self.user_agent {
            Some(user_agent) => request.header("User-Agent", user_agent),
            None => request,
        }
    }

    /// Sends a request that [`RunnerApi::request`] made.
    pub(crate) async fn send(&self, request: RequestBuilder) -> ApiResponse {
        claimed_job::send(request).await
    }

    /// Sends a JSON body. Like a stock runner, it sends `Accept` only on the two calls whose reply it
    /// parses.
    pub(crate) async fn json(&self, method: Method, path: &str, body: &Value) -> ApiResponse {
        let mut request = self.request(method, path);
        if path.contains("register") {
            request = request.header("Accept", "application/json");
        }
        self.send(request.json(body)).await
    }

    /// Sends a request without a body and without a content type.
    pub(crate) async fn empty(&self, method: Method, path: &str) -> ApiResponse {
        self.send(self.request(method, path)).await
    }

    /// Sends a body of type `content_type`.
    pub(crate) async fn bytes(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Body>,
    ) -> ApiResponse {
        let request = self.request(method, path);
        self.send(request.header("Content-Type", content_type).body(body))
            .await
    }

    /// Registers a runner with `body`, to which it adds `token` and, if missing, the `info` of a stock
    /// runner.
    pub(crate) async fn register(&self, token: &str, mut body: Value) -> Runner {
        body["token"] = token.into();
        if body["info"].is_null() {
            body["info"] = info();
        }
        let created = self
            .json(Method::POST, "/runners/register.json", &body)
            .await
            .is(201)
            .json();
        Runner {
            api: self.clone(),
            id: RunnerId(created["id"].as_i64().unwrap()),
            token: created["token"].as_str().unwrap().to_owned(),
        }
    }

    /// Registers a shared runner without tags.
    pub(crate) async fn register_runner(&self, farm: &TestFarm) -> Runner {
        let body = json!({"description": "a runner"});
        self.register(&farm.registration_token, body).await
    }

    /// Registers a shared runner with tags that also takes jobs without tags.
    pub(crate) async fn register_tagged_runner(&self, farm: &TestFarm, tags: &str) -> Runner {
        let body = json!({"tag_list": tags, "run_untagged": true});
        self.register(&farm.registration_token, body).await
    }
}

/// A registered runner.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) api: RunnerApi,
    pub(crate) id: RunnerId,
    pub(crate) token: String,
}

impl Runner {
    /// Polls without a queue key, so that the coordinator answers at once.
    pub(crate) async fn poll(&self) -> ApiResponse {
        let body = json!({"info": info(), "token": self.token});
        self.api
            .json(Method::POST, "/builds/register.json", &body)
            .await
    }

    /// Polls with a queue key. If the key is current, the coordinator may hold the request.
    pub(crate) async fn poll_with_queue_key(&self, key: &str) -> ApiResponse {
        let body = json!({"info": info(), "token": self.token, "last_update": key});
        self.api
            .json(Method::POST, "/builds/register.json", &body)
            .await
    }

    /// Updates any job with `body`, to which it adds the runner's token.
    pub(crate) async fn put(&self, id: JobId, mut body: Value) -> ApiResponse {
        body["token"] = self.token.as_str().into();
        let path = format!("/builds/{id}.json");
        self.api.json(Method::PUT, &path, &body).await
    }
}

impl Claim {
    /// Updates the job with `body`, to which it adds the runner's token.
    pub(crate) async fn put(&self, body: Value) -> ApiResponse {
        self.runner.put(self.id, body).await
    }

    /// Builds a request for a path below the job, with the job's token in the header.
    pub(crate) fn request(&self, method: Method, below: &str) -> RequestBuilder {
        let path = format!("/builds/{}/{below}", self.id);
        let request = self.runner.api.request(method, &path);
        request.header("BUILD-TOKEN", &self.token)
    }

    /// Appends a chunk to the trace.
    pub(crate) async fn patch(&self, range: &str, body: impl Into<Bytes>) -> ApiResponse {
        let request = self
            .request(Method::PATCH, "trace.txt")
            .header("Content-Type", "text/plain")
            .header("Content-Range", range)
            .body(body.into());
        self.runner.api.send(request).await
    }

    /// Uploads an archive to `artifacts?query`, chunked, as the stock helper does.
    pub(crate) async fn upload(&self, query: &str, name: &str, content: &[u8]) -> ApiResponse {
        let request = self.request(Method::POST, &format!("artifacts?{query}"));
        let request = request.multipart(Form::new().part("file", chunked_part(name, content)));
        self.runner.api.send(request).await
    }

    /// Downloads the archive. Stock runners send Go's own `User-Agent` on requests without a body.
    pub(crate) async fn download(&self) -> ApiResponse {
        let api = self
            .runner
            .api
            .clone()
            .with_user_agent(Some("Go-http-client/1.1"));
        let path = format!("/builds/{}/artifacts", self.id);
        let request = api.request(Method::GET, &path);
        api.send(request.header("BUILD-TOKEN", &self.token)).await
    }
}

/// The `info` of stock runner 1.9 with the Docker executor.
fn info() -> Value {
    json!({
        "name": "gitlab-ci-multi-runner", "version": "1.9.2", "revision": "ade6572",
        "platform": "linux", "architecture": "amd64", "executor": "docker",
        "features": {
            "variables": true, "image": true, "services": true, "features": true, "cache": true
        }
    })
}

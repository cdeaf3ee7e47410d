//! A test client of runner protocol v4. It sends what gitlab-runner sends and follows no redirects.

use bytes::Bytes;
use reqwest::multipart::Form;
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use slipway_domain::pipeline::Definition;
use slipway_domain::{JobId, RunnerId};
use slipway_testkit::TestFarm;

#[path = "../support/claimed_job.rs"]
mod claimed_job;
#[path = "../support/response.rs"]
mod response;

pub(crate) use claimed_job::{Claim, chunked_part};
pub(crate) use response::ApiResponse;

/// The `User-Agent` of a current stock runner.
const USER_AGENT: &str = "gitlab-runner 18.11.4 (18-11-stable; go1.25.7; linux/amd64)";

impl ApiResponse {
    /// Asserts the status and the `Job-Status` header.
    #[track_caller]
    pub(crate) fn has_job_status(self, status: u16, job_status: &str) -> Self {
        let response = self.is(status);
        assert_eq!(
            response.header("job-status"),
            Some(job_status),
            "{response:?}"
        );
        response
    }

    /// Asserts 403 with a message.
    #[track_caller]
    pub(crate) fn fails_as_forbidden(self) -> Self {
        let response = self.is(403);
        let text = response.json()["message"].as_str().unwrap().to_owned();
        assert!(text.starts_with("403 Forbidden"), "{text}");
        response
    }
}

/// The v4 endpoints of one coordinator.
#[derive(Clone)]
pub(crate) struct RunnerApi {
    pub(crate) base: String,
    http: reqwest::Client,
}

impl RunnerApi {
    pub(crate) fn new(farm: &TestFarm) -> Self {
        Self {
            base: farm.url(""),
            http: slipway_testkit::http()
                .redirect(Policy::none())
                .user_agent(USER_AGENT)
                .build()
                .unwrap(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/api/v4{path}", self.base);
        self.http.request(method, url)
    }

    /// Sends a request. A response body in JSON must be declared as such.
    pub(crate) async fn send(&self, request: RequestBuilder) -> ApiResponse {
        let response = claimed_job::send(request).await;
        if response.body.starts_with(b"{") {
            let content_type = response.header("content-type");
            assert_eq!(content_type, Some("application/json"), "{response:?}");
        }
        response
    }

    pub(crate) async fn json(&self, method: Method, path: &str, body: &Value) -> ApiResponse {
        self.send(self.request(method, path).json(body)).await
    }

    /// Registers a runner with `body`, to which it adds `token`.
    pub(crate) async fn register(&self, token: &str, mut body: Value) -> Runner {
        body["token"] = token.into();
        let created = self.json(Method::POST, "/runners", &body).await.is(201);
        Runner::of(self, &created.json())
    }

    /// Registers a shared runner without tags.
    pub(crate) async fn register_runner(&self, farm: &TestFarm) -> Runner {
        let body = json!({"description": "a runner", "info": info()});
        self.register(&farm.registration_token, body).await
    }

    /// Creates a shared runner through the native API, as an administrator does before a host uses
    /// its token.
    pub(crate) async fn create_runner(&self, farm: &TestFarm) -> Runner {
        let body = json!({"description": "created"});
        Runner::of(self, &self.native(farm, "/v1/runners", body).await)
    }

    /// Creates something through the native API as an administrator.
    pub(crate) async fn native(&self, farm: &TestFarm, path: &str, body: Value) -> Value {
        let request = self.http.post(farm.url(path)).json(&body);
        let response = self.send(request.bearer_auth(&farm.admin_token)).await;
        response.is(201).json()
    }
}

/// A registered runner.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) api: RunnerApi,
    pub(crate) id: RunnerId,
    pub(crate) token: String,
    /// Names the manager. Each host has its own.
    pub(crate) system_id: String,
    pub(crate) info: Value,
}

impl Runner {
    fn of(api: &RunnerApi, created: &Value) -> Self {
        Self {
            api: api.clone(),
            id: RunnerId(created["id"].as_i64().unwrap()),
            token: created["token"].as_str().unwrap().to_owned(),
            system_id: "s_0123456789ab".to_owned(),
            info: info(),
        }
    }

    /// Another manager of the same runner.
    pub(crate) fn with_system_id(&self, system_id: &str) -> Self {
        let mut other = self.clone();
        other.system_id = system_id.to_owned();
        other
    }

    /// Announces `cancel_gracefully`.
    pub(crate) fn cancels_gracefully(mut self) -> Self {
        self.info["features"]["cancel_gracefully"] = true.into();
        self
    }

    /// The body of its poll.
    pub(crate) fn job_request(&self) -> Value {
        json!({"info": self.info, "token": self.token, "system_id": self.system_id})
    }

    pub(crate) async fn request_job(&self, body: &Value) -> ApiResponse {
        self.api.json(Method::POST, "/jobs/request", body).await
    }

    /// Polls without a queue key, so that the coordinator answers at once.
    pub(crate) async fn poll(&self) -> ApiResponse {
        self.request_job(&self.job_request()).await
    }

    /// Polls with a queue key. If the key is current, the coordinator may hold the request.
    pub(crate) async fn poll_with_queue_key(&self, key: &str) -> ApiResponse {
        let mut body = self.job_request();
        body["last_update"] = key.into();
        self.request_job(&body).await
    }

    pub(crate) async fn verify(&self) -> ApiResponse {
        let body = json!({"token": self.token, "system_id": self.system_id});
        self.api.json(Method::POST, "/runners/verify", &body).await
    }
}

impl Claim {
    fn path(&self, below: &str) -> String {
        format!("/jobs/{}{below}", self.id)
    }

    /// Updates the job with exactly this body.
    pub(crate) async fn put_exactly(&self, body: &Value) -> ApiResponse {
        self.runner
            .api
            .json(Method::PUT, &self.path(""), body)
            .await
    }

    /// Updates the job with `body`, to which it adds the job's token.
    pub(crate) async fn put(&self, mut body: Value) -> ApiResponse {
        body["token"] = self.token.as_str().into();
        self.put_exactly(&body).await
    }

    /// Builds a request for a path below the job, with the job's token in the header.
    pub(crate) fn request(&self, method: Method, below: &str) -> RequestBuilder {
        let request = self.runner.api.request(method, &self.path(below));
        request.header("JOB-TOKEN", &self.token)
    }

    /// Appends a chunk to the trace.
    pub(crate) async fn patch(&self, range: &str, body: impl Into<Bytes>) -> ApiResponse {
        let request = self
            .request(Method::PATCH, "/trace?debug_trace=false")
            .header("Content-Type", "text/plain")
            .header("Content-Range", range)
            .body(body.into());
        self.runner.api.send(request).await
    }

    /// Uploads a file to `artifacts?query`, chunked, as the stock helper does.
    pub(crate) async fn upload(&self, query: &str, name: &str, content: &[u8]) -> ApiResponse {
        let form = Form::new().part("file", chunked_part(name, content));
        self.upload_form(query, form).await
    }

    pub(crate) async fn upload_form(&self, query: &str, form: Form) -> ApiResponse {
        let request = self.request(Method::POST, &format!("/artifacts?{query}"));
        self.runner.api.send(request.multipart(form)).await
    }

    /// Downloads the archive of job `id` with this job's token.
    pub(crate) async fn download(&self, id: JobId, query: &str) -> ApiResponse {
        let path = format!("/jobs/{id}/artifacts{query}");
        let request = self.runner.api.request(Method::GET, &path);
        let request = request.header("JOB-TOKEN", &self.token);
        self.runner.api.send(request).await
    }
}

/// The `info` of stock runner 16 with the shell executor.
fn info() -> Value {
    json!({
        "name": "gitlab-runner", "version": "16.11.1", "revision": "535ced5f",
        "platform": "linux", "architecture": "amd64", "executor": "shell", "shell": "bash",
        "features": {"variables": true, "artifacts": true, "masking": true},
        "config": {"gpus": ""}
    })
}

/// Parses the jobs of a pipeline from the JSON that users write.
pub(crate) fn definition(jobs: Value) -> Definition {
    serde_json::from_value(json!({ "jobs": jobs })).unwrap()
}

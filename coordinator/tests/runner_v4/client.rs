//! A stock runner on the wire: it sends what gitlab-runner sends, and follows nothing.

use bytes::Bytes;
use reqwest::multipart::Form;
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use slipway_domain::pipeline::Definition;
use slipway_domain::{JobId, RunnerId};
use slipway_testkit::TestFarm;

#[path = "../support/answer.rs"]
mod answer;
#[path = "../support/runner.rs"]
mod runner;

pub(crate) use answer::Answer;
pub(crate) use runner::{Claim, streamed};

/// What a stock runner of today calls itself.
const AGENT: &str = "gitlab-runner 18.11.4 (18-11-stable; go1.25.7; linux/amd64)";

impl Answer {
    /// The status is the one expected, and so is what the job is told to be.
    #[track_caller]
    pub(crate) fn tells(self, status: u16, job: &str) -> Self {
        let answer = self.is(status);
        assert_eq!(answer.header("job-status"), Some(job), "{answer:?}");
        answer
    }

    /// "Forbidden", with a message.
    #[track_caller]
    pub(crate) fn forbidden(self) -> Self {
        let answer = self.is(403);
        let text = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(text.starts_with("403 Forbidden"), "{text}");
        answer
    }
}

/// A way to one coordinator.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) base: String,
    http: reqwest::Client,
}

impl Wire {
    pub(crate) fn to(farm: &TestFarm) -> Self {
        Self {
            base: farm.url(""),
            http: slipway_testkit::http()
                .redirect(Policy::none())
                .user_agent(AGENT)
                .build()
                .unwrap(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/api/v4{path}", self.base);
        self.http.request(method, url)
    }

    /// Sends a request. What is JSON in the answer is said to be.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = runner::sent(request).await;
        if answer.body.starts_with(b"{") {
            let kind = answer.header("content-type");
            assert_eq!(kind, Some("application/json"), "{answer:?}");
        }
        answer
    }

    pub(crate) async fn json(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.send(self.request(method, path).json(body)).await
    }

    /// A runner of the farm as it answers to a registration.
    pub(crate) async fn register(&self, token: &str, mut body: Value) -> Runner {
        body["token"] = token.into();
        let answer = self.json(Method::POST, "/runners", &body).await.is(201);
        Runner::of(self, &answer.json())
    }

    /// Registers a shared runner without tags.
    pub(crate) async fn runner(&self, farm: &TestFarm) -> Runner {
        let body = json!({"description": "a runner", "info": info()});
        self.register(&farm.registration_token, body).await
    }

    /// A shared runner that an administrator makes first, natively.
    pub(crate) async fn precreated(&self, farm: &TestFarm) -> Runner {
        let made = self.native(farm, "/v1/runners", json!({"description": "made"}));
        Runner::of(self, &made.await)
    }

    /// What an administrator makes natively.
    pub(crate) async fn native(&self, farm: &TestFarm, path: &str, body: Value) -> Value {
        let request = self.http.post(farm.url(path)).json(&body);
        let answer = self.send(request.bearer_auth(&farm.admin_token)).await;
        answer.is(201).json()
    }
}

/// A registered runner.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) wire: Wire,
    pub(crate) id: RunnerId,
    pub(crate) token: String,
    /// The name of its host.
    pub(crate) system_id: String,
    pub(crate) info: Value,
}

impl Runner {
    fn of(wire: &Wire, made: &Value) -> Self {
        Self {
            wire: wire.clone(),
            id: RunnerId(made["id"].as_i64().unwrap()),
            token: made["token"].as_str().unwrap().to_owned(),
            system_id: "s_0123456789ab".to_owned(),
            info: info(),
        }
    }

    /// The same on another host.
    pub(crate) fn on(&self, system_id: &str) -> Self {
        let mut other = self.clone();
        other.system_id = system_id.to_owned();
        other
    }

    /// The same as one that says that it knows how to end a canceled job.
    pub(crate) fn graceful(mut self) -> Self {
        self.info["features"]["cancel_gracefully"] = true.into();
        self
    }

    /// What it says when it asks for a job.
    pub(crate) fn asking(&self) -> Value {
        json!({"info": self.info, "token": self.token, "system_id": self.system_id})
    }

    pub(crate) async fn ask(&self, body: &Value) -> Answer {
        self.wire.json(Method::POST, "/jobs/request", body).await
    }

    /// Asks for a job and may not be held.
    pub(crate) async fn poll(&self) -> Answer {
        self.ask(&self.asking()).await
    }

    /// Asks for a job with the queue value it remembers, and may be held.
    pub(crate) async fn poll_after(&self, value: &str) -> Answer {
        let mut body = self.asking();
        body["last_update"] = value.into();
        self.ask(&body).await
    }

    pub(crate) async fn verify(&self) -> Answer {
        let body = json!({"token": self.token, "system_id": self.system_id});
        self.wire.json(Method::POST, "/runners/verify", &body).await
    }
}

impl Claim {
    /// The only job of a new build of `acme/api`, with a runner of its own.
    pub(crate) async fn of_new_build(farm: &TestFarm) -> Self {
        let project = farm.project("acme/api").await;
        farm.build(&project).await;
        Wire::to(farm).runner(farm).await.claim().await
    }

    /// The same with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        let mut other = self.clone();
        other.token = token.to_owned();
        other
    }

    fn path(&self, below: &str) -> String {
        format!("/jobs/{}{below}", self.id)
    }

    /// Reports with exactly this body.
    pub(crate) async fn put_plain(&self, body: &Value) -> Answer {
        self.runner
            .wire
            .json(Method::PUT, &self.path(""), body)
            .await
    }

    /// Reports with `body`, to which the job's token is added.
    pub(crate) async fn put(&self, mut body: Value) -> Answer {
        body["token"] = self.token.as_str().into();
        self.put_plain(&body).await
    }

    /// A request for something below the job, with its token.
    pub(crate) fn request(&self, method: Method, below: &str) -> RequestBuilder {
        let request = self.runner.wire.request(method, &self.path(below));
        request.header("JOB-TOKEN", &self.token)
    }

    /// Appends to the trace.
    pub(crate) async fn patch(&self, range: &str, body: impl Into<Bytes>) -> Answer {
        let request = self
            .request(Method::PATCH, "/trace?debug_trace=false")
            .header("Content-Type", "text/plain")
            .header("Content-Range", range)
            .body(body.into());
        self.runner.wire.send(request).await
    }

    /// Sends a file as the stock helper does: chunked, as it is made, with `?query`.
    pub(crate) async fn upload(&self, query: &str, name: &str, content: &[u8]) -> Answer {
        let form = Form::new().part("file", streamed(name, content));
        self.upload_form(query, form).await
    }

    pub(crate) async fn upload_form(&self, query: &str, form: Form) -> Answer {
        let request = self.request(Method::POST, &format!("/artifacts?{query}"));
        self.runner.wire.send(request.multipart(form)).await
    }

    /// Fetches the archive of job `id` with this job's token.
    pub(crate) async fn download(&self, id: JobId, query: &str) -> Answer {
        let path = format!("/jobs/{id}/artifacts{query}");
        let request = self.runner.wire.request(Method::GET, &path);
        let request = request.header("JOB-TOKEN", &self.token);
        self.runner.wire.send(request).await
    }
}

/// What a stock runner of 16 with the shell executor says of itself.
fn info() -> Value {
    json!({
        "name": "gitlab-runner", "version": "16.11.1", "revision": "535ced5f",
        "platform": "linux", "architecture": "amd64", "executor": "shell", "shell": "bash",
        "features": {"variables": true, "artifacts": true, "masking": true},
        "config": {"gpus": ""}
    })
}

/// A pipeline of these jobs, as people write it.
pub(crate) fn definition(jobs: Value) -> Definition {
    serde_json::from_value(json!({ "jobs": jobs })).unwrap()
}

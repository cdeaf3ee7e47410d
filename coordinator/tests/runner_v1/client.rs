//! A stock runner on the wire: it sends what gitlab-ci-multi-runner sends, and follows nothing.

use bytes::Bytes;
use reqwest::multipart::Form;
use reqwest::redirect::Policy;
use reqwest::{Body, Method, RequestBuilder};
use serde_json::{Value, json};
use slipway_domain::{JobId, RunnerId};
use slipway_testkit::TestFarm;

#[path = "../support/answer.rs"]
mod answer;
#[path = "../support/runner.rs"]
mod runner;

pub(crate) use answer::Answer;
pub(crate) use runner::{Claim, streamed};

/// What a released stock runner calls itself.
pub(crate) const UA1: &str = "gitlab-ci-multi-runner 1.9.2 (1-9-stable; go1.7.4; linux/amd64)";

impl Answer {
    /// The status is the one expected, and the body is the message alone.
    #[track_caller]
    pub(crate) fn says(self, status: u16, message: &str) -> Self {
        let answer = self.is(status);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.json(), json!({ "message": message }));
        answer
    }

    /// The status is the one expected, and the body is text as under `/trace.txt`.
    #[track_caller]
    pub(crate) fn says_in_text(self, status: u16, text: &str) -> Self {
        let answer = self.is(status);
        assert_eq!(answer.header("content-type"), Some("text/plain"));
        assert_eq!(answer.body, text.as_bytes());
        answer
    }
}

/// A way to one coordinator, as one version of the client goes it.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) base: String,
    prefix: &'static str,
    agent: Option<&'static str>,
    http: reqwest::Client,
}

impl Wire {
    /// A released stock runner's way.
    pub(crate) fn to(farm: &TestFarm) -> Self {
        Self::to_address(&farm.url(""))
    }

    /// A released stock runner's way to `base`, `http://host:port`.
    pub(crate) fn to_address(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            prefix: "/ci/api/v1",
            agent: Some(UA1),
            http: slipway_testkit::http()
                .redirect(Policy::none())
                .build()
                .unwrap(),
        }
    }

    /// The same with another `User-Agent`, or none.
    pub(crate) fn agent(mut self, agent: Option<&'static str>) -> Self {
        self.agent = agent;
        self
    }

    /// The same below another prefix.
    pub(crate) fn below(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{}{path}", self.base, self.prefix);
        let request = self.http.request(method, url);
        match self.agent {
            Some(agent) => request.header("User-Agent", agent),
            None => request,
        }
    }

    /// Sends a request.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        runner::sent(request).await
    }

    /// Sends a JSON body; what parses its answer also says so in `Accept`.
    pub(crate) async fn json(&self, method: Method, path: &str, body: &Value) -> Answer {
        let mut request = self.request(method, path);
        if path.contains("register") {
            request = request.header("Accept", "application/json");
        }
        self.send(request.json(body)).await
    }

    /// Sends neither a body nor a content type.
    pub(crate) async fn empty(&self, method: Method, path: &str) -> Answer {
        self.send(self.request(method, path)).await
    }

    /// Sends bytes as a `content_type`.
    pub(crate) async fn bytes(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Body>,
    ) -> Answer {
        let request = self.request(method, path);
        self.send(request.header("Content-Type", content_type).body(body))
            .await
    }

    /// Registers a runner with `body`, to which `token` is added, and what a stock runner says of
    /// itself where it says nothing.
    pub(crate) async fn register(&self, token: &str, mut body: Value) -> Runner {
        body["token"] = token.into();
        if body["info"].is_null() {
            body["info"] = info();
        }
        let answer = self
            .json(Method::POST, "/runners/register.json", &body)
            .await
            .is(201)
            .json();
        Runner {
            wire: self.clone(),
            id: RunnerId(answer["id"].as_i64().unwrap()),
            token: answer["token"].as_str().unwrap().to_owned(),
        }
    }

    /// Registers a shared runner without tags.
    pub(crate) async fn runner(&self, farm: &TestFarm) -> Runner {
        let body = json!({"description": "a runner"});
        self.register(&farm.registration_token, body).await
    }

    /// Registers a shared runner with tags that takes jobs without tags too.
    pub(crate) async fn tagged_runner(&self, farm: &TestFarm, tags: &str) -> Runner {
        let body = json!({"tag_list": tags, "run_untagged": true});
        self.register(&farm.registration_token, body).await
    }
}

/// A registered runner.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) wire: Wire,
    pub(crate) id: RunnerId,
    pub(crate) token: String,
}

impl Runner {
    /// Asks for a job and may not be held.
    pub(crate) async fn poll(&self) -> Answer {
        let body = json!({"info": info(), "token": self.token});
        self.wire
            .json(Method::POST, "/builds/register.json", &body)
            .await
    }

    /// Asks for a job with the queue value it remembers, and may be held.
    pub(crate) async fn poll_after(&self, value: &str) -> Answer {
        let body = json!({"info": info(), "token": self.token, "last_update": value});
        self.wire
            .json(Method::POST, "/builds/register.json", &body)
            .await
    }

    /// Reports on any job with `body`, to which the runner's token is added.
    pub(crate) async fn put(&self, id: JobId, mut body: Value) -> Answer {
        body["token"] = self.token.as_str().into();
        let path = format!("/builds/{id}.json");
        self.wire.json(Method::PUT, &path, &body).await
    }
}

impl Claim {
    /// Reports on the job.
    pub(crate) async fn put(&self, body: Value) -> Answer {
        self.runner.put(self.id, body).await
    }

    /// A request for something below the job, with its token.
    pub(crate) fn request(&self, method: Method, below: &str) -> RequestBuilder {
        let path = format!("/builds/{}/{below}", self.id);
        let request = self.runner.wire.request(method, &path);
        request.header("BUILD-TOKEN", &self.token)
    }

    /// Appends to the trace.
    pub(crate) async fn patch(&self, range: &str, body: impl Into<Bytes>) -> Answer {
        let request = self
            .request(Method::PATCH, "trace.txt")
            .header("Content-Type", "text/plain")
            .header("Content-Range", range)
            .body(body.into());
        self.runner.wire.send(request).await
    }

    /// Sends an archive as the stock helper does: chunked, as it is made, with `?query`.
    pub(crate) async fn upload(&self, query: &str, name: &str, content: &[u8]) -> Answer {
        let request = self.request(Method::POST, &format!("artifacts?{query}"));
        let request = request.multipart(Form::new().part("file", streamed(name, content)));
        self.runner.wire.send(request).await
    }

    /// Fetches the archive. A request without a body shows Go's own agent.
    pub(crate) async fn download(&self) -> Answer {
        let wire = self.runner.wire.clone().agent(Some("Go-http-client/1.1"));
        let path = format!("/builds/{}/artifacts", self.id);
        let request = wire.request(Method::GET, &path);
        wire.send(request.header("BUILD-TOKEN", &self.token)).await
    }
}

/// What a stock runner of 1.9 with the Docker executor says of itself.
fn info() -> Value {
    json!({
        "name": "gitlab-ci-multi-runner", "version": "1.9.2", "revision": "ade6572",
        "platform": "linux", "architecture": "amd64", "executor": "docker",
        "features": {
            "variables": true, "image": true, "services": true, "features": true, "cache": true
        }
    })
}

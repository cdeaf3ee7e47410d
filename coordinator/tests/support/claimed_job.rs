//! What the test clients of both runner protocols share: claimed jobs, empty polls and chunked
//! uploads. The module that includes this file defines `RunnerApi` and `Runner` for its protocol.

use bytes::Bytes;
use reqwest::multipart::Part;
use reqwest::{Body, RequestBuilder};
use serde_json::{Value, json};
use slipway_domain::JobId;
use slipway_testkit::TestFarm;

use super::{ApiResponse, Runner, RunnerApi};

/// Sends a request of a runner. Stock runners lose the body when they follow a redirect, so no
/// endpoint may ever answer with one.
pub(crate) async fn send(request: RequestBuilder) -> ApiResponse {
    let response = ApiResponse::to(request).await;
    assert!(!(300..400).contains(&response.status), "{response:?}");
    response
}

impl ApiResponse {
    /// The runner's queue key.
    pub(crate) fn queue_key(&self) -> Option<&str> {
        self.header("X-GitLab-Last-Update")
    }

    /// Asserts "no job", which is 204 without a body, and returns the queue key.
    #[track_caller]
    pub(crate) fn no_job(self) -> String {
        let response = self.is(204);
        assert!(response.body.is_empty(), "{response:?}");
        let key = response.queue_key().expect("a queue key");
        assert!(!key.is_empty());
        key.to_owned()
    }
}

impl Runner {
    /// Polls and claims a job.
    pub(crate) async fn claim(&self) -> Claim {
        Claim::read(self, &self.poll().await)
    }

    /// Polls, asserts that there is no job, and returns the queue key.
    pub(crate) async fn expect_no_job(&self) -> String {
        self.poll().await.no_job()
    }
}

/// A job that a runner claimed.
#[derive(Clone)]
pub(crate) struct Claim {
    pub(crate) runner: Runner,
    pub(crate) id: JobId,
    pub(crate) token: String,
    pub(crate) payload: Value,
}

impl Claim {
    /// Reads the 201 response to a poll.
    #[track_caller]
    pub(crate) fn read(runner: &Runner, response: &ApiResponse) -> Self {
        assert_eq!(response.status, 201, "{response:?}");
        let payload = response.json();
        Self {
            runner: runner.clone(),
            id: JobId(payload["id"].as_i64().unwrap()),
            token: payload["token"].as_str().unwrap().to_owned(),
            payload,
        }
    }

    /// Creates a build of one job in `acme/api` and claims the job with a runner of its own.
    pub(crate) async fn of_new_build(farm: &TestFarm) -> Self {
        let project = farm.project("acme/api").await;
        farm.build(&project).await;
        RunnerApi::new(farm)
            .register_runner(farm)
            .await
            .claim()
            .await
    }

    /// The same job, accessed with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        let mut other = self.clone();
        other.token = token.to_owned();
        other
    }

    /// Another job id, accessed with this job's token.
    pub(crate) fn with_id(&self, id: JobId) -> Self {
        let mut other = self.clone();
        other.id = id;
        other
    }

    /// Reports success.
    pub(crate) async fn succeed(&self) {
        self.put(json!({"state": "success"})).await.is(200);
    }
}

/// A file part of unknown length, which makes the whole request body chunked.
pub(crate) fn chunked_part(name: &str, content: &[u8]) -> Part {
    let chunks: Vec<Result<Bytes, std::io::Error>> = content
        .chunks(16 << 10)
        .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
        .collect();
    let body = Body::wrap_stream(futures_util::stream::iter(chunks));
    Part::stream(body)
        .file_name(name.to_owned())
        .mime_str("application/octet-stream")
        .unwrap()
}

//! What stock runners of both protocols have in common, whatever each sends.

use bytes::Bytes;
use reqwest::multipart::Part;
use reqwest::{Body, RequestBuilder};
use serde_json::{Value, json};
use slipway_domain::JobId;

use super::{Answer, Runner};

/// Sends a request of a runner's. No endpoint of the protocols ever redirects.
pub(crate) async fn sent(request: RequestBuilder) -> Answer {
    let answer = Answer::to(request).await;
    assert!(!(300..400).contains(&answer.status), "{answer:?}");
    answer
}

impl Answer {
    /// A runner's queue value.
    pub(crate) fn queue_value(&self) -> Option<&str> {
        self.header("X-GitLab-Last-Update")
    }

    /// "No job": 204 without a body, with the queue value, which it gives.
    #[track_caller]
    pub(crate) fn no_job(self) -> String {
        let answer = self.is(204);
        assert!(answer.body.is_empty(), "{answer:?}");
        let value = answer.queue_value().expect("a queue value");
        assert!(!value.is_empty());
        value.to_owned()
    }
}

impl Runner {
    /// Gets a job.
    pub(crate) async fn claim(&self) -> Claim {
        Claim::read(self, &self.poll().await)
    }

    /// Finds no job, and learns its queue value.
    pub(crate) async fn idle(&self) -> String {
        self.poll().await.no_job()
    }
}

/// A job that a runner was given.
#[derive(Clone)]
pub(crate) struct Claim {
    pub(crate) runner: Runner,
    pub(crate) id: JobId,
    pub(crate) token: String,
    pub(crate) payload: Value,
}

impl Claim {
    /// Reads the 201 of a poll.
    #[track_caller]
    pub(crate) fn read(runner: &Runner, answer: &Answer) -> Self {
        assert_eq!(answer.status, 201, "{answer:?}");
        let payload = answer.json();
        Self {
            runner: runner.clone(),
            id: JobId(payload["id"].as_i64().unwrap()),
            token: payload["token"].as_str().unwrap().to_owned(),
            payload,
        }
    }

    /// Ends the job well.
    pub(crate) async fn succeed(&self) {
        self.put(json!({"state": "success"})).await.is(200);
    }
}

/// A file part of unknown length, which makes the whole body chunked.
pub(crate) fn streamed(name: &str, content: &[u8]) -> Part {
    let pieces: Vec<Result<Bytes, std::io::Error>> = content
        .chunks(16 << 10)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    let body = Body::wrap_stream(futures_util::stream::iter(pieces));
    Part::stream(body)
        .file_name(name.to_owned())
        .mime_str("application/octet-stream")
        .unwrap()
}

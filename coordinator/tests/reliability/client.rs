//! Requests as values, so that they can be lost, delayed, and sent twice.

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use slipway_testkit::TestFarm;
use slipway_testkit::farm::SHA;

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// N of the header `Range: 0-N`.
    pub(crate) stored: Option<u64>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A registered runner of ours.
#[derive(Clone, Debug)]
pub(crate) struct Runner {
    pub(crate) token: String,
}

/// A job that a runner claimed.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) job: i64,
    pub(crate) token: String,
}

impl Claimed {
    pub(crate) fn read(reply: &Reply) -> Self {
        let payload = reply.json();
        Self {
            job: payload["id"].as_i64().unwrap(),
            token: payload["token"].as_str().unwrap().to_owned(),
        }
    }
}

impl Request {
    fn json(method: Method, path: impl Into<String>, body: &Value) -> Self {
        Self {
            method,
            path: path.into(),
            headers: vec![("Content-Type", "application/json".to_owned())],
            body: body.to_string().into_bytes(),
        }
    }

    fn of_person(farm: &TestFarm, method: Method, path: impl Into<String>, body: &Value) -> Self {
        let mut request = Self::json(method, path, body);
        let token = format!("Bearer {}", farm.admin_token);
        request.headers.push(("Authorization", token));
        request
    }

    pub(crate) fn get(farm: &TestFarm, path: impl Into<String>) -> Self {
        let mut request = Self::of_person(farm, Method::GET, path, &Value::Null);
        request.body.clear();
        request
    }

    pub(crate) fn create_build(farm: &TestFarm) -> Self {
        let path = "/v1/projects/acme/api/builds";
        Self::of_person(farm, Method::POST, path, &json!({ "sha": SHA }))
    }

    pub(crate) fn cancel(farm: &TestFarm, job: i64) -> Self {
        let path = format!("/v1/jobs/{job}/cancel");
        Self::of_person(farm, Method::POST, path, &json!({}))
    }

    pub(crate) fn delete_project(farm: &TestFarm) -> Self {
        let path = "/v1/projects/acme/api";
        let mut request = Self::of_person(farm, Method::DELETE, path, &Value::Null);
        request.body.clear();
        request
    }

    /// A poll that is answered at once.
    pub(crate) fn claim(runner: &Runner, request: &str) -> Self {
        let body = json!({"info": info(), "token": runner.token, "request_id": request});
        Self::json(Method::POST, "/ci/api/v1/builds/register.json", &body)
    }

    pub(crate) fn update(runner: &Runner, job: i64, mut body: Value) -> Self {
        body["token"] = runner.token.as_str().into();
        Self::json(Method::PUT, format!("/ci/api/v1/builds/{job}.json"), &body)
    }

    pub(crate) fn heartbeat(runner: &Runner, job: i64) -> Self {
        Self::update(runner, job, json!({ "state": "running" }))
    }

    /// The final report; `state` is `success` or `failed`.
    pub(crate) fn finish(runner: &Runner, job: i64, state: &str, trace: &[u8]) -> Self {
        let sum = json!({"length": trace.len(), "crc32": crc32fast::hash(trace)});
        Self::update(runner, job, json!({"state": state, "trace_sum": sum}))
    }

    pub(crate) fn append(claimed: &Claimed, start: usize, bytes: &[u8]) -> Self {
        Self::bytes_at(claimed, "trace.txt", "text/plain", start, bytes)
    }

    pub(crate) fn upload_offset(claimed: &Claimed, upload: &str) -> Self {
        Self {
            method: Method::GET,
            path: format!("/ci/api/v1/builds/{}/uploads/{upload}", claimed.job),
            headers: vec![("BUILD-TOKEN", claimed.token.clone())],
            body: Vec::new(),
        }
    }

    pub(crate) fn piece(claimed: &Claimed, upload: &str, start: usize, bytes: &[u8]) -> Self {
        let below = format!("uploads/{upload}");
        Self::bytes_at(claimed, &below, "application/octet-stream", start, bytes)
    }

    pub(crate) fn end_upload(claimed: &Claimed, upload: &str, file: &[u8]) -> Self {
        let path = format!("/ci/api/v1/builds/{}/uploads/{upload}", claimed.job);
        let sha256 = hex::encode(Sha256::digest(file));
        let body = json!({"size": file.len(), "sha256": sha256, "filename": "artifacts.zip"});
        let mut request = Self::json(Method::POST, path, &body);
        request.headers.push(("BUILD-TOKEN", claimed.token.clone()));
        request
    }

    fn bytes_at(claimed: &Claimed, below: &str, mime: &str, start: usize, bytes: &[u8]) -> Self {
        Self {
            method: Method::PATCH,
            path: format!("/ci/api/v1/builds/{}/{below}", claimed.job),
            headers: vec![
                ("BUILD-TOKEN", claimed.token.clone()),
                ("Content-Type", mime.to_owned()),
                ("Content-Range", format!("{start}-{}", start + bytes.len())),
            ],
            body: bytes.to_vec(),
        }
    }

    /// Whether it is the final report of a job.
    pub(crate) fn is_end(&self) -> bool {
        self.body.windows(9).any(|part| part == b"trace_sum")
    }

    /// Sends the request; `None` if no answer arrived.
    pub(crate) async fn send(&self, farm: &TestFarm) -> Option<Reply> {
        let mut request = farm.http.request(self.method.clone(), farm.url(&self.path));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let response = request.body(self.body.clone()).send().await.ok()?;
        let status = response.status().as_u16();
        let range = response.headers().get("Range");
        let stored = range.and_then(|range| range.to_str().ok()?.strip_prefix("0-")?.parse().ok());
        let body = response.bytes().await.ok()?.to_vec();
        Some(Reply {
            status,
            stored,
            body,
        })
    }
}

/// Registers a shared runner that reports itself as slipway-runner does.
pub(crate) async fn register(farm: &TestFarm) -> Runner {
    let body = json!({"token": farm.registration_token, "info": info(), "run_untagged": true});
    let request = Request::json(Method::POST, "/ci/api/v1/runners/register.json", &body);
    let reply = request.send(farm).await.unwrap();
    assert_eq!(reply.status, 201, "{reply:?}");
    Runner {
        token: reply.json()["token"].as_str().unwrap().to_owned(),
    }
}

fn info() -> Value {
    json!({
        "name": "slipway-runner", "version": "1.0.0",
        "features": {"variables": true, "image": true, "features": true, "heartbeat": true},
    })
}

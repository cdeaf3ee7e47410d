//! Requests to a farm that comes and goes.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::Bytes;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

/// Timeout of one request. A partition is shorter.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request is repeated before the farm counts as broken.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// A client with the administrator's token.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client,
    base: String,
    token: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// `Build-Status`: the state of the job.
    pub(crate) job_status: String,
    /// N of `Range: 0-N`: the stored length of the trace.
    pub(crate) stored: Option<usize>,
    pub(crate) body: Bytes,
    /// Whether an earlier try may have been carried out.
    pub(crate) repeated: bool,
}

impl Reply {
    /// The body as JSON; null if it is something else.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Http {
    pub(crate) fn new(base: &str, token: &str) -> Result<Self> {
        let client = Client::builder()
            .timeout(TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(2))
            .build()?;
        Ok(Self {
            client,
            base: base.to_owned(),
            token: token.to_owned(),
        })
    }

    /// A request without a token.
    pub(crate) fn plain(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// A request of the administrator.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.plain(method, path)
            .header("PRIVATE-TOKEN", &self.token)
    }

    /// Reads a path as the administrator.
    pub(crate) async fn get(&self, path: &str) -> Result<Reply> {
        until_answered(|| self.request(Method::GET, path)).await
    }

    /// Sends JSON as the administrator.
    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Reply> {
        let body = body.to_string();
        let json = "application/json";
        let request = || {
            self.request(method.clone(), path)
                .header("Content-Type", json)
        };
        until_answered(|| request().body(body.clone())).await
    }
}

/// Sends a request once; `None` without a complete answer.
pub(crate) async fn once(request: RequestBuilder) -> Option<Reply> {
    let response = request.send().await.ok()?;
    let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    let stored = header("Range").and_then(|range| range.strip_prefix("0-")?.parse().ok());
    let (status, job_status) = (response.status().as_u16(), header("Build-Status"));
    Some(Reply {
        status,
        job_status: job_status.unwrap_or_default(),
        stored,
        body: response.bytes().await.ok()?,
        repeated: false,
    })
}

/// Sends a request once, and returns the status without reading the body, which may never end.
pub(crate) async fn status(request: RequestBuilder) -> Option<u16> {
    Some(request.send().await.ok()?.status().as_u16())
}

/// Repeats a request until the farm answers with something else than "try again".
///
/// # Errors
/// If it does not answer for a minute.
pub(crate) async fn until_answered(request: impl Fn() -> RequestBuilder) -> Result<Reply> {
    let start = Instant::now();
    let mut repeated = false;
    loop {
        let last = match once(request()).await {
            Some(reply) if ![408, 429, 500, 502, 503, 504].contains(&reply.status) => {
                return Ok(Reply { repeated, ..reply });
            }
            Some(reply) => {
                // A request that was not admitted was not carried out either.
                repeated |= reply.status != 429;
                format!("status {}", reply.status)
            }
            None => {
                repeated = true;
                "no answer".to_owned()
            }
        };
        if start.elapsed() > PATIENCE {
            bail!("a request failed for {PATIENCE:?}: {last}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

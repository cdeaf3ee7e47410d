//! The client of the coordinator. Each call returns an enum of what its caller does next.
//!
//! Whether a request is retried depends on its status and the kind of error, never on message
//! texts. A success whose body cannot be decoded came from a proxy and is retried as well.

mod commands;
mod files;
mod uploads;

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use slipway_domain::{ClaimRequestId, JobToken, Platform, RunnerToken};
use slipway_protocol::{
    ClaimRequest, Features, Info, JOB_STATUS_HEADER, JOB_TOKEN_HEADER, JobPayload,
    LAST_UPDATE_HEADER, OUR_RUNNER, PulledImage, TRACE_FOLLOWED_HEADER, UpdateRequest,
};

pub use commands::CommandError;
pub use files::{DownloadAnswer, UploadAnswer};
pub use uploads::UploadStep;

use crate::jobs::phases::PhaseReport;

/// A little more than the longest time that a coordinator holds a poll.
const POLL_TIMEOUT: Duration = Duration::from_secs(80);
/// How long any other request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an idle connection is kept. The coordinator closes it after 5 s, and a request that is
/// sent at that moment is lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// A request that failed and should be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The shortest delay, from `Retry-After`.
    pub after: Option<Duration>,
    /// Why it failed, for the log.
    pub why: String,
}

/// The answer to a poll.
pub enum ClaimAnswer {
    /// A job to run.
    Job(Box<JobPayload>),
    /// A job whose payload this runner cannot read. Report it as unsupported.
    Unreadable { id: i64 },
    /// No job is pending.
    Nothing {
        /// The value to send with the next poll.
        last_update: Option<String>,
    },
    /// The coordinator rejected the runner token.
    Forbidden,
    /// Poll again later.
    Retry(Retry),
}

/// The answer to a heartbeat.
#[derive(Debug, PartialEq, Eq)]
pub enum HeartbeatAnswer {
    /// The lease is renewed.
    Continue,
    /// The job was canceled, or its lease expired.
    Ended,
    /// Send it again.
    Retry(Retry),
}

/// The answer to a piece of a trace.
#[derive(Debug, PartialEq, Eq)]
pub enum TraceAnswer {
    /// The piece is stored.
    Stored {
        /// The length of the stored trace, in bytes.
        length: u64,
        /// Whether the job was canceled or has failed.
        is_ended: bool,
        /// Whether somebody follows the trace.
        is_followed: bool,
    },
    /// The piece does not start where the stored trace ends.
    WrongOffset {
        /// The length of the stored trace, in bytes.
        length: u64,
        /// Whether the job was canceled or has failed.
        is_ended: bool,
    },
    /// The coordinator takes no more of this trace.
    Gone,
    /// Send it again.
    Retry(Retry),
}

/// The answer to the final report on a job.
#[derive(Debug, PartialEq, Eq)]
pub enum ReportAnswer {
    /// The report was taken, or the job had already ended.
    Taken,
    /// Part of the trace is missing.
    TraceIncomplete {
        /// The length of the stored trace, in bytes.
        length: u64,
    },
    /// Report it again.
    Retry(Retry),
}

/// A client of one coordinator.
#[derive(Clone, Debug)]
pub struct CoordinatorClient {
    http: reqwest::Client,
    base: String,
}

/// Describes this runner to the coordinator. `emulates` are the platforms that it builds images for
/// besides its own.
pub fn info(executor: &str, emulates: &[Platform]) -> Info {
    let architecture = match std::env::consts::ARCH {
        // Docker's names of architectures, which are those of Go.
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    Info {
        unready: None,
        trust: Vec::new(),
        notes: Vec::new(),
        platforms: emulates.iter().map(Platform::to_string).collect(),
        name: Some(OUR_RUNNER.to_owned()),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        revision: option_env!("SLIPWAY_REVISION").map(str::to_owned),
        platform: Some(std::env::consts::OS.to_owned()),
        architecture: Some(architecture.to_owned()),
        executor: Some(executor.to_owned()),
        features: Some(Features {
            variables: true,
            image: true,
            features: true,
            heartbeat: true,
            image_archives: true,
            ..Features::default()
        }),
    }
}

impl CoordinatorClient {
    /// Creates a client for the coordinator at `url`. Nothing is sent yet. A rustls crypto provider
    /// must be installed.
    ///
    /// # Errors
    /// Returns `BadUrl` if `url` is not an HTTP URL.
    pub fn new(url: &str) -> Result<Self, CommandError> {
        let bad = || CommandError::BadUrl(url.to_owned());
        let parsed = reqwest::Url::parse(url).map_err(|_| bad())?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(bad());
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("slipway-runner/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .pool_idle_timeout(IDLE_TIMEOUT)
            // A redirected POST would be repeated as a GET, whose answer looks like an empty queue.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(CommandError::Unreachable)?;
        // Operators of GitLab runners are used to a URL that ends in `/ci`.
        let base = url.trim_end_matches('/').trim_end_matches("/ci");
        Ok(Self {
            http,
            base: format!("{base}/ci/api/v1"),
        })
    }

    /// `POST builds/register`: asks for a job. The coordinator may hold the request if `last_update`
    /// is given. With the same `id` it answers with the same job again, if the answer was lost.
    pub async fn claim(
        &self,
        token: &RunnerToken,
        info: &Info,
        last_update: Option<String>,
        id: ClaimRequestId,
    ) -> ClaimAnswer {
        let body = ClaimRequest {
            info: Some(info.clone()),
            token: Some(token.expose().to_owned()),
            last_update,
            request_id: Some(id.to_string()),
        };
        let request = self.call(Method::POST, "builds/register.json").json(&body);
        let answer = match request.timeout(POLL_TIMEOUT).send().await {
            Ok(answer) => answer,
            Err(error) => return ClaimAnswer::Retry(unsent(&error)),
        };
        match answer.status() {
            StatusCode::CREATED => match answer.bytes().await {
                Ok(body) => read_job(&body),
                Err(error) => ClaimAnswer::Retry(unsent(&error)),
            },
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => {
                let value = text_header(answer.headers(), LAST_UPDATE_HEADER);
                // An empty value identifies no state of the queue.
                let last_update = value.filter(|value| !value.is_empty());
                ClaimAnswer::Nothing {
                    last_update: last_update.map(str::to_owned),
                }
            }
            StatusCode::FORBIDDEN => ClaimAnswer::Forbidden,
            _ => ClaimAnswer::Retry(unexpected(&answer)),
        }
    }

    /// `PUT builds/:id` with the state `running`: renews the lease and reports a phase. `wait` asks
    /// the coordinator to hold the request until the job's state changes.
    pub async fn heartbeat(
        &self,
        token: &RunnerToken,
        job: i64,
        report: Option<&PhaseReport>,
        wait: Option<Duration>,
    ) -> HeartbeatAnswer {
        let base = report.and_then(|report| report.base_image.as_ref());
        let body = UpdateRequest {
            token: Some(token.expose().to_owned()),
            state: Some("running".to_owned()),
            phase: report.map(|report| report.phase.as_str().to_owned()),
            base_image: base.map(|base| PulledImage {
                image: base.image().to_owned(),
                username: base.username().map(str::to_owned),
            }),
            ..UpdateRequest::default()
        };
        let mut request = self.call(Method::PUT, &format!("builds/{job}.json"));
        if let Some(wait) = wait {
            request = request
                .header("Prefer", format!("wait={}", wait.as_secs()))
                // The coordinator answers within `wait`: a longer silence means a dead connection.
                .timeout(REQUEST_TIMEOUT.min(wait + Duration::from_secs(10)));
        }
        match request.json(&body).send().await {
            Ok(answer) => match answer.status() {
                StatusCode::OK => HeartbeatAnswer::Continue,
                // The coordinator no longer accepts this runner for the job.
                StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => HeartbeatAnswer::Ended,
                _ => HeartbeatAnswer::Retry(unexpected(&answer)),
            },
            Err(error) => HeartbeatAnswer::Retry(unsent(&error)),
        }
    }

    /// `PATCH builds/:id/trace.txt`: sends the `piece` of a trace that starts at the offset `start`.
    pub async fn send_trace(
        &self,
        token: &JobToken,
        job: i64,
        start: u64,
        piece: Vec<u8>,
    ) -> TraceAnswer {
        // The protocol's end is exclusive, unlike in HTTP's `Content-Range`.
        let end = start + piece.len() as u64;
        let request = self
            .call(Method::PATCH, &format!("builds/{job}/trace.txt"))
            .header(JOB_TOKEN_HEADER, token.expose())
            .header("Content-Type", "text/plain")
            .header("Content-Range", format!("{start}-{end}"))
            .body(piece);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return TraceAnswer::Retry(unsent(&error)),
        };
        let status = text_header(answer.headers(), JOB_STATUS_HEADER);
        let is_ended = matches!(status, Some("canceled" | "failed"));
        match (answer.status(), stored_length(answer.headers())) {
            (StatusCode::ACCEPTED, Some(length)) => TraceAnswer::Stored {
                length,
                is_ended,
                is_followed: answer.headers().contains_key(TRACE_FOLLOWED_HEADER),
            },
            (StatusCode::RANGE_NOT_SATISFIABLE, Some(length)) => {
                TraceAnswer::WrongOffset { length, is_ended }
            }
            (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, _) => TraceAnswer::Gone,
            _ => TraceAnswer::Retry(unexpected(&answer)),
        }
    }

    /// `PUT builds/:id` with a final state.
    pub async fn finish(
        &self,
        token: &RunnerToken,
        job: i64,
        mut update: UpdateRequest,
    ) -> ReportAnswer {
        update.token = Some(token.expose().to_owned());
        let request = self.call(Method::PUT, &format!("builds/{job}.json"));
        match request.json(&update).send().await {
            Ok(answer) => match (answer.status(), stored_length(answer.headers())) {
                // 403 and 404 mean that the job has already ended; there is nothing left to report.
                (StatusCode::OK | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, _) => {
                    ReportAnswer::Taken
                }
                (StatusCode::RANGE_NOT_SATISFIABLE, Some(length)) => {
                    ReportAnswer::TraceIncomplete { length }
                }
                _ => ReportAnswer::Retry(unexpected(&answer)),
            },
            Err(error) => ReportAnswer::Retry(unsent(&error)),
        }
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}/{path}", self.base))
            .header("Accept", "application/json")
            .timeout(REQUEST_TIMEOUT)
    }
}

fn read_job(body: &[u8]) -> ClaimAnswer {
    match serde_json::from_slice::<JobPayload>(body) {
        Ok(job) => ClaimAnswer::Job(Box::new(job)),
        // A newer coordinator may send jobs that this runner cannot read. Without a report such a job
        // would be retried here again and again.
        Err(_) => match serde_json::from_slice::<serde_json::Value>(body) {
            Ok(value) if value["id"].as_i64().is_some_and(|id| id > 0) => ClaimAnswer::Unreadable {
                id: value["id"].as_i64().unwrap_or_default(),
            },
            _ => ClaimAnswer::Retry(Retry {
                after: None,
                why: "the answer is not a job; is there a proxy in between?".to_owned(),
            }),
        },
    }
}

fn text_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The length of the stored trace: N of `Range: 0-N`.
fn stored_length(headers: &HeaderMap) -> Option<u64> {
    text_header(headers, "Range")?
        .strip_prefix("0-")?
        .parse()
        .ok()
}

fn unexpected(answer: &Response) -> Retry {
    let status = answer.status();
    if status == StatusCode::TOO_MANY_REQUESTS {
        tracing::warn!("The coordinator limits the request rate of this runner");
    }
    let seconds = text_header(answer.headers(), RETRY_AFTER.as_str());
    let seconds = seconds.and_then(|text| text.trim().parse::<u64>().ok());
    Retry {
        // A misconfigured proxy must not keep the runner away for a day.
        after: seconds.map(|seconds| Duration::from_secs(seconds.min(600))),
        why: format!("the coordinator answered {status}"),
    }
}

fn unsent(error: &reqwest::Error) -> Retry {
    let kind = if error.is_connect() {
        "the coordinator could not be reached"
    } else if error.is_timeout() {
        "the request timed out"
    } else {
        "the connection was lost"
    };
    Retry {
        after: None,
        why: kind.to_owned(),
    }
}

//! The coordinator as the runner sees it: each call says what its loop does next.
//!
//! What may be retried is decided on statuses and kinds of error. A success that does not decode
//! came from a proxy, and is retried as well.

mod archives;
mod commands;

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use slipway_domain::{JobToken, Platform, RunnerToken};
use slipway_protocol::{
    ClaimRequest, Features, Info, JOB_STATUS_HEADER, JOB_TOKEN_HEADER, JobPayload,
    LAST_UPDATE_HEADER, OUR_RUNNER, PulledImage, UpdateRequest,
};

pub use archives::{Fetched, Uploaded};
pub use commands::CommandError;

use crate::jobs::phases::News;

/// How long a coordinator may hold a poll, and a little more.
const POLL_LIMIT: Duration = Duration::from_secs(80);
/// How long any other request may take, beyond the time it asks to be held for.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// How long a connection may wait for its next request. The coordinator closes it after 5 s, and a
/// request that is sent at that moment is lost.
const IDLE: Duration = Duration::from_secs(3);

/// Why a request is to be sent again, and when at the earliest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// What the server asked for in `Retry-After`.
    pub after: Option<Duration>,
    /// What happened, for the log.
    pub why: String,
}

/// What comes of a poll.
pub enum Claim {
    /// A job to run.
    Job(Box<JobPayload>),
    /// A job whose description this runner cannot read; it is to be reported as unsupported.
    Unreadable {
        /// The job's id.
        id: i64,
    },
    /// There is nothing to do.
    Nothing {
        /// The value to poll with next.
        last_update: Option<String>,
    },
    /// The coordinator does not know this runner.
    Forbidden,
    /// Poll again later.
    Retry(Retry),
}

/// What comes of saying that a job is being worked on.
#[derive(Debug, PartialEq, Eq)]
pub enum Beat {
    /// Go on.
    GoOn,
    /// The job was canceled or taken away.
    Over,
    /// The coordinator could not be asked.
    Retry(Retry),
}

/// What comes of sending a piece of a trace.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// The coordinator holds this many bytes now.
    Stored {
        /// In bytes, from the beginning of the trace.
        length: u64,
        /// Whether it said that the job is over.
        is_over: bool,
    },
    /// The piece does not begin where the coordinator's trace ends.
    Elsewhere {
        /// How many bytes it holds.
        length: u64,
        /// Whether it said that the job is over.
        is_over: bool,
    },
    /// The coordinator takes no more of this trace.
    Gone,
    /// Send it again.
    Retry(Retry),
}

/// What comes of the last report on a job.
#[derive(Debug, PartialEq, Eq)]
pub enum Finished {
    /// It was taken, or the job had ended in another way.
    Done,
    /// Parts of the trace are missing; the coordinator holds this many bytes.
    Missing {
        /// In bytes.
        length: u64,
    },
    /// Report again.
    Retry(Retry),
}

/// A coordinator at its address.
#[derive(Clone, Debug)]
pub struct Coordinator {
    http: reqwest::Client,
    base: String,
}

/// What this program says of itself; `emulates` is what it builds images for besides its own
/// processor.
pub fn info(executor: &str, emulates: &[Platform]) -> Info {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    Info {
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

impl Coordinator {
    /// The coordinator at `url`. Nothing is sent yet; TLS needs a provider to be installed.
    ///
    /// # Errors
    /// `BadUrl`.
    pub fn at(url: &str) -> Result<Self, CommandError> {
        let bad = || CommandError::BadUrl(url.to_owned());
        let parsed = reqwest::Url::parse(url).map_err(|_| bad())?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(bad());
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("slipway-runner/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .pool_idle_timeout(IDLE)
            // A redirected POST would come back as a GET that looks like an empty queue.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(CommandError::Unreachable)?;
        let base = url.trim_end_matches('/').trim_end_matches("/ci");
        Ok(Self {
            http,
            base: format!("{base}/ci/api/v1"),
        })
    }

    /// `POST builds/register`: asks for a job; may be held when `last_update` is given.
    pub async fn claim(
        &self,
        token: &RunnerToken,
        info: &Info,
        last_update: Option<String>,
    ) -> Claim {
        let body = ClaimRequest {
            info: Some(info.clone()),
            token: Some(token.expose().to_owned()),
            last_update,
        };
        let request = self.call(Method::POST, "builds/register.json").json(&body);
        let answer = match request.timeout(POLL_LIMIT).send().await {
            Ok(answer) => answer,
            Err(error) => return Claim::Retry(unsent(&error)),
        };
        match answer.status() {
            StatusCode::CREATED => match answer.bytes().await {
                Ok(body) => read_job(&body),
                Err(error) => Claim::Retry(unsent(&error)),
            },
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => {
                let value = text_header(answer.headers(), LAST_UPDATE_HEADER);
                let last_update = value.filter(|value| !value.is_empty());
                Claim::Nothing {
                    last_update: last_update.map(str::to_owned),
                }
            }
            StatusCode::FORBIDDEN => Claim::Forbidden,
            _ => Claim::Retry(unexpected(&answer)),
        }
    }

    /// `PUT builds/:id` with the state `running`, and perhaps with what the job has come to. `wait`
    /// asks to be held until something changes.
    pub async fn beat(
        &self,
        token: &RunnerToken,
        job: i64,
        news: Option<&News>,
        wait: Option<Duration>,
    ) -> Beat {
        let base = news.and_then(|news| news.base_image.as_ref());
        let body = UpdateRequest {
            token: Some(token.expose().to_owned()),
            state: Some("running".to_owned()),
            phase: news.map(|news| news.phase.as_str().to_owned()),
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
                .timeout(REQUEST_LIMIT.min(wait + Duration::from_secs(10)));
        }
        match request.json(&body).send().await {
            Ok(answer) => match answer.status() {
                StatusCode::OK => Beat::GoOn,
                StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Beat::Over,
                _ => Beat::Retry(unexpected(&answer)),
            },
            Err(error) => Beat::Retry(unsent(&error)),
        }
    }

    /// `PATCH builds/:id/trace.txt`: sends `piece`, which begins at `start`.
    pub async fn send_trace(&self, token: &JobToken, job: i64, start: u64, piece: Vec<u8>) -> Sent {
        let end = start + piece.len() as u64;
        let request = self
            .call(Method::PATCH, &format!("builds/{job}/trace.txt"))
            .header(JOB_TOKEN_HEADER, token.expose())
            .header("Content-Type", "text/plain")
            .header("Content-Range", format!("{start}-{end}"))
            .body(piece);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Sent::Retry(unsent(&error)),
        };
        let status = text_header(answer.headers(), JOB_STATUS_HEADER);
        let is_over = matches!(status, Some("canceled" | "failed"));
        match (answer.status(), held_length(answer.headers())) {
            (StatusCode::ACCEPTED, Some(length)) => Sent::Stored { length, is_over },
            (StatusCode::RANGE_NOT_SATISFIABLE, Some(length)) => {
                Sent::Elsewhere { length, is_over }
            }
            (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, _) => Sent::Gone,
            _ => Sent::Retry(unexpected(&answer)),
        }
    }

    /// `PUT builds/:id` with a final state.
    pub async fn finish(
        &self,
        token: &RunnerToken,
        job: i64,
        mut update: UpdateRequest,
    ) -> Finished {
        update.token = Some(token.expose().to_owned());
        let request = self.call(Method::PUT, &format!("builds/{job}.json"));
        match request.json(&update).send().await {
            Ok(answer) => match (answer.status(), held_length(answer.headers())) {
                (StatusCode::OK | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, _) => {
                    Finished::Done
                }
                (StatusCode::RANGE_NOT_SATISFIABLE, Some(length)) => Finished::Missing { length },
                _ => Finished::Retry(unexpected(&answer)),
            },
            Err(error) => Finished::Retry(unsent(&error)),
        }
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}/{path}", self.base))
            .header("Accept", "application/json")
            .timeout(REQUEST_LIMIT)
    }
}

fn read_job(body: &[u8]) -> Claim {
    match serde_json::from_slice::<JobPayload>(body) {
        Ok(job) => Claim::Job(Box::new(job)),
        // A job of a newer coordinator is reported, so that it does not come back for ever.
        Err(_) => match serde_json::from_slice::<serde_json::Value>(body) {
            Ok(value) if value["id"].as_i64().is_some_and(|id| id > 0) => Claim::Unreadable {
                id: value["id"].as_i64().unwrap_or_default(),
            },
            _ => Claim::Retry(Retry {
                after: None,
                why: "a job that cannot be read; is there a proxy in between?".to_owned(),
            }),
        },
    }
}

fn text_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// N of `Range: 0-N`.
fn held_length(headers: &HeaderMap) -> Option<u64> {
    text_header(headers, "Range")?
        .strip_prefix("0-")?
        .parse()
        .ok()
}

fn unexpected(answer: &Response) -> Retry {
    let status = answer.status();
    if status == StatusCode::TOO_MANY_REQUESTS {
        tracing::warn!("The coordinator limits this runner's requests");
    }
    let seconds = text_header(answer.headers(), RETRY_AFTER.as_str());
    let seconds = seconds.and_then(|text| text.trim().parse::<u64>().ok());
    Retry {
        // A wrong answer must not keep a runner away for a day.
        after: seconds.map(|seconds| Duration::from_secs(seconds.min(600))),
        why: format!("it answered {status}"),
    }
}

fn unsent(error: &reqwest::Error) -> Retry {
    let kind = if error.is_connect() {
        "it could not be reached"
    } else if error.is_timeout() {
        "it took too long to answer"
    } else {
        "the connection broke"
    };
    Retry {
        after: None,
        why: kind.to_owned(),
    }
}

//! A runner that records everything: it claims jobs as a stock runner does, and sends random output.

use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};
use slipway_history::{Action, Answer, State};

use super::ledger::Ledger;
use crate::trials::http::{Http, Reply, once, until_answered};
use crate::trials::random::Random;

const AGENT: &str = "gitlab-ci-multi-runner 1.11.2 (1-11-stable; go1.7.4; linux/amd64)";
const BOUNDARY: &str = "slipway-crash-loop";
/// The longest part of a trace, in bytes.
const MAX_PIECE: usize = 4000;
/// The largest archive, in bytes.
const MAX_ARCHIVE: usize = 40_000;
/// The most pieces of a trace.
const MAX_PIECES: usize = 5;

/// A registered runner of the load.
pub(super) struct RecordedRunner<'a> {
    number: u32,
    token: String,
    http: &'a Http,
    ledger: &'a Ledger,
    random: Random,
}

/// A job while it runs.
struct Held {
    id: i64,
    token: String,
}

/// The holder lost its job.
struct JobLost;

impl<'a> RecordedRunner<'a> {
    /// Registers a runner.
    pub(super) async fn register(
        number: u32,
        registration: &str,
        http: &'a Http,
        ledger: &'a Ledger,
        random: Random,
    ) -> Result<Self> {
        let body = json!({"token": registration, "description": format!("recorded-{number}"), "info": info()});
        let path = "/ci/api/v1/runners/register.json";
        let reply = until_answered(|| http.plain(Method::POST, path).json(&body)).await?;
        let token = reply.json()["token"].as_str().map(str::to_owned);
        Ok(Self {
            number,
            token: token.with_context(|| format!("could not register: {reply:?}"))?,
            http,
            ledger,
            random,
        })
    }

    /// Claims and runs jobs until the end.
    pub(super) async fn work(mut self) -> Result<()> {
        while !self.ledger.ending.get() {
            let Some(job) = self.claim().await else {
                tokio::time::sleep(self.random.pause(20, 80)).await;
                continue;
            };
            if self.random.percent(3) {
                // It is lost when its lease expires.
                continue;
            }
            let lost = self.run(&job).await?.is_err();
            if lost {
                self.check_that_late_reports_are_refused(&job).await?;
            }
        }
        Ok(())
    }

    async fn claim(&mut self) -> Option<Held> {
        let from = self.ledger.history.now();
        let body = json!({"token": self.token, "info": info()});
        let request = self.request(Method::POST, "/ci/api/v1/builds/register.json");
        let reply = once(request.json(&body)).await?;
        if reply.status != 201 {
            return None;
        }
        let job = reply.json();
        let id = job["id"].as_i64()?;
        self.record(id, from, Action::Claim);
        self.ledger.update(id, |_| {});
        Some(Held {
            id,
            token: job["token"].as_str()?.to_owned(),
        })
    }

    async fn run(&mut self, job: &Held) -> Result<Result<(), JobLost>> {
        if self.report(job, "running").await?.is_err() {
            return Ok(Err(JobLost));
        }
        for _ in 0..1 + self.random.below(MAX_PIECES) {
            let length = 1 + self.random.below(MAX_PIECE);
            let piece = self.random.text(length);
            self.ledger.update(job.id, |sent| sent.trace.extend(piece));
            if self.send_trace(job).await?.is_err() {
                return Ok(Err(JobLost));
            }
            tokio::time::sleep(self.random.pause(1, 30)).await;
        }
        if self.random.percent(50) && self.upload(job).await?.is_err() {
            return Ok(Err(JobLost));
        }
        let result = if self.random.percent(90) {
            "success"
        } else {
            "failed"
        };
        self.report(job, result).await
    }

    /// Reports a state of the job.
    async fn report(&self, job: &Held, state: &str) -> Result<Result<(), JobLost>> {
        let from = self.ledger.history.now();
        let body = json!({"token": self.token, "info": info(), "state": state});
        let path = format!("/ci/api/v1/builds/{}.json", job.id);
        let reply = until_answered(|| self.request(Method::PUT, &path).json(&body)).await?;
        let answer = self.answer(job, "report", &reply, 200);
        let result = match state {
            "success" => Some(State::Succeeded),
            "failed" => Some(State::Failed),
            _ => None,
        };
        let action = match result {
            Some(result) => Action::Finish(result, answer),
            None => Action::Heartbeat(answer),
        };
        self.record(job.id, from, action);
        if answer == Answer::Accepted {
            self.ledger.update(job.id, |sent| sent.result = result);
        }
        Ok(lost_unless(answer == Answer::Accepted))
    }

    /// Sends the part of the trace that is not acknowledged.
    async fn send_trace(&self, job: &Held) -> Result<Result<(), JobLost>> {
        let path = format!("/ci/api/v1/builds/{}/trace.txt", job.id);
        loop {
            let sent = self.ledger.jobs.borrow().get(&job.id).cloned();
            let sent = sent.unwrap_or_default();
            let (start, end) = (sent.acknowledged, sent.trace.len());
            if start == end {
                return Ok(Ok(()));
            }
            let piece = sent.trace.get(start..).unwrap_or_default().to_vec();
            let from = self.ledger.history.now();
            let request = || {
                let request = self.request(Method::PATCH, &path);
                let request = request.header("BUILD-TOKEN", &job.token);
                let request = request.header("Content-Range", format!("{start}-{end}"));
                request
                    .header("Content-Type", "text/plain")
                    .body(piece.clone())
            };
            let reply = until_answered(request).await?;
            let stored = reply.stored.unwrap_or_default();
            match reply.status {
                202 | 416 if stored < start || stored > end => {
                    let id = job.id;
                    self.ledger.problem(format!(
                        "job {id}: {start} of {end} bytes were acknowledged, and {stored} are stored"
                    ));
                    return Ok(Err(JobLost));
                }
                202 => {
                    let is_running = reply.job_status == "running";
                    let answer = if is_running {
                        Answer::Accepted
                    } else {
                        Answer::Refused
                    };
                    self.record(job.id, from, Action::Heartbeat(answer));
                    self.ledger
                        .update(job.id, |sent| sent.acknowledged = stored);
                    if !is_running {
                        return Ok(Err(JobLost));
                    }
                }
                416 => self
                    .ledger
                    .update(job.id, |sent| sent.acknowledged = stored),
                _ => {
                    let answer = self.answer(job, "trace", &reply, 202);
                    self.record(job.id, from, Action::Heartbeat(answer));
                    return Ok(Err(JobLost));
                }
            }
        }
    }

    async fn upload(&mut self, job: &Held) -> Result<Result<(), JobLost>> {
        let length = 1 + self.random.below(MAX_ARCHIVE);
        let archive = self.random.text(length);
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.zip\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let tail = format!("\r\n--{BOUNDARY}--\r\n");
        let form = [head.as_bytes(), &archive, tail.as_bytes()].concat();
        self.ledger
            .update(job.id, |sent| sent.archives.push(archive));
        let path = format!("/ci/api/v1/builds/{}/artifacts", job.id);
        let form_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = || {
            let request = self.request(Method::POST, &path);
            let request = request.header("BUILD-TOKEN", &job.token);
            request
                .header("Content-Type", &form_type)
                .body(form.clone())
        };
        let from = self.ledger.history.now();
        let reply = until_answered(request).await?;
        let answer = self.answer(job, "upload", &reply, 201);
        self.record(job.id, from, Action::Heartbeat(answer));
        if answer == Answer::Accepted {
            self.ledger
                .update(job.id, |sent| sent.archive = Some(sent.archives.len() - 1));
        }
        Ok(lost_unless(answer == Answer::Accepted))
    }

    /// What `reply` says about the job; `expected` is the status of success.
    fn answer(&self, job: &Held, what: &str, reply: &Reply, expected: u16) -> Answer {
        match reply.status {
            status if status == expected => Answer::Accepted,
            // The first try may have ended the job.
            403 | 404 if reply.repeated => Answer::Unknown,
            403 | 404 => Answer::Refused,
            status => {
                let (id, body) = (job.id, String::from_utf8_lossy(&reply.body));
                self.ledger
                    .problem(format!("job {id}: {what} was answered {status}: {body}"));
                Answer::Unknown
            }
        }
    }

    /// A runner that lost its job tries nevertheless, as one does whose network was down.
    async fn check_that_late_reports_are_refused(&self, job: &Held) -> Result<()> {
        // The history checker judges the answer.
        self.report(job, "success").await.map(drop)
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .plain(method, path)
            .header("User-Agent", AGENT)
            .timeout(Duration::from_secs(5))
    }

    fn record(&self, job: i64, from: u64, action: Action) {
        self.ledger.history.record(self.number, job, from, action);
    }
}

fn lost_unless(is_accepted: bool) -> Result<(), JobLost> {
    if is_accepted { Ok(()) } else { Err(JobLost) }
}

fn info() -> Value {
    json!({
        "name": "gitlab-ci-multi-runner", "version": "1.11.2", "revision": "0489844",
        "platform": "linux", "architecture": "amd64", "executor": "docker",
        "features": {
            "variables": true, "image": true, "services": true, "features": true, "cache": true
        }
    })
}

//! The clients: runners that do what slipway-runner does, and a person.

use serde_json::Value;
use slipway_history::{Action, Answer, State};

use super::network::Network;
use crate::client::{Claimed, Reply, Request, Runner};

/// The client number of the person.
pub(super) const PERSON: u32 = 0;

/// What a runner sent for a job.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) job: i64,
    pub(super) trace: Vec<u8>,
    /// How many bytes of the trace are acknowledged.
    pub(super) acknowledged: usize,
    pub(super) file: Vec<u8>,
    /// Whether the file is acknowledged.
    pub(super) is_uploaded: bool,
    /// The result, if it was acknowledged.
    pub(super) result: Option<State>,
}

/// A runner.
#[derive(Debug)]
pub(super) struct Worker {
    number: u32,
    runner: Runner,
    /// The id of the next request for a job; the same until a job arrives.
    request: Option<String>,
    work: Option<Work>,
    pub(super) sent: Vec<Sent>,
}

/// The job that a runner works on.
#[derive(Debug)]
struct Work {
    claimed: Claimed,
    sent: Sent,
    state: State,
    upload: String,
    /// How much of the file is stored; unknown after a lost answer.
    offset: Option<usize>,
}

/// What a runner does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Heartbeat,
    Append,
    AskOffset,
    Piece(usize),
    EndUpload,
    Finish,
}

impl Work {
    fn next(&self, wants_heartbeat: bool) -> Next {
        if wants_heartbeat {
            return Next::Heartbeat;
        }
        if self.sent.acknowledged < self.sent.trace.len() {
            return Next::Append;
        }
        if self.sent.is_uploaded || self.sent.file.is_empty() {
            return Next::Finish;
        }
        match self.offset {
            None => Next::AskOffset,
            Some(offset) if offset < self.sent.file.len() => Next::Piece(offset),
            Some(_) => Next::EndUpload,
        }
    }
}

impl Worker {
    pub(super) fn new(number: u32, runner: Runner) -> Self {
        Self {
            number,
            runner,
            request: None,
            work: None,
            sent: Vec::new(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.work.is_none()
    }

    /// Sends one request.
    pub(super) async fn step(&mut self, network: &mut Network) {
        match self.work.take() {
            None => self.claim(network).await,
            Some(work) => {
                if let Some(work) = self.go_on(network, work).await {
                    self.work = Some(work);
                }
            }
        }
    }

    async fn claim(&mut self, network: &mut Network) {
        let id = self.request.get_or_insert_with(|| network.random.uuid());
        let request = Request::claim(&self.runner, id);
        let from = network.history.now();
        let Some(reply) = network.send(self.number, &request).await else {
            return;
        };
        // What "no job" is depends on the `User-Agent`.
        if [204, 404].contains(&reply.status) {
            return;
        }
        assert_eq!(reply.status, 201, "{reply:?}");
        self.request = None;
        let claimed = Claimed::read(&reply);
        let job = claimed.job;
        network
            .history
            .record(self.number, job, from, Action::Claim);
        let trace = network.random.text(3000);
        let file = match network.random.below(2) {
            0 => Vec::new(),
            _ => network.random.text(2500),
        };
        let is_failed = network.random.percent(25);
        self.work = Some(Work {
            claimed,
            sent: Sent {
                job,
                trace,
                acknowledged: 0,
                file,
                is_uploaded: false,
                result: None,
            },
            state: if is_failed {
                State::Failed
            } else {
                State::Succeeded
            },
            upload: network.random.uuid(),
            offset: Some(0),
        });
    }

    /// Sends the next request for a job. Returns the work, unless it has ended.
    async fn go_on(&mut self, network: &mut Network, mut work: Work) -> Option<Work> {
        let next = work.next(network.random.percent(20));
        let request = self.request_for(next, network, &work);
        let from = network.history.now();
        let reply = network.send(self.number, &request).await;
        let is_gone = matches!(&reply, Some(reply) if [403, 404].contains(&reply.status));
        self.record(network, next, &work, from, reply.as_ref());
        match (next, reply) {
            _ if is_gone => {}
            (Next::Heartbeat, _) => return Some(work),
            (Next::Append, reply) => {
                if let Some(stored) = stored_of(reply.as_ref()) {
                    assert!(stored <= work.sent.trace.len(), "job {}", work.sent.job);
                    // What was acknowledged is not lost, whatever order requests arrive in.
                    assert!(
                        stored >= work.sent.acknowledged,
                        "{stored} of {} acknowledged bytes of job {}",
                        work.sent.acknowledged,
                        work.sent.job
                    );
                    work.sent.acknowledged = stored;
                }
                return Some(work);
            }
            (Next::AskOffset | Next::Piece(_), reply) => {
                work.offset = stored_of(reply.as_ref());
                return Some(work);
            }
            (Next::EndUpload, Some(reply)) if reply.status == 201 => {
                work.sent.is_uploaded = true;
                return Some(work);
            }
            (Next::EndUpload, reply) => {
                let status = reply.map(|reply| reply.status);
                assert!(matches!(status, None | Some(416)), "{status:?}");
                work.offset = None;
                return Some(work);
            }
            (Next::Finish, Some(reply)) if reply.status == 200 => {
                work.sent.result = Some(work.state);
            }
            (Next::Finish, Some(reply)) => {
                panic!("the report on job {} was answered {reply:?}", work.sent.job)
            }
            (Next::Finish, None) => return Some(work),
        }
        self.sent.push(work.sent);
        None
    }

    fn request_for(&self, next: Next, network: &mut Network, work: &Work) -> Request {
        let (claimed, sent) = (&work.claimed, &work.sent);
        match next {
            Next::Heartbeat => Request::heartbeat(&self.runner, sent.job),
            Next::Append => {
                let rest = &sent.trace[sent.acknowledged..];
                let piece = &rest[..1 + network.random.below(rest.len())];
                Request::append(claimed, sent.acknowledged, piece)
            }
            Next::AskOffset => Request::upload_offset(claimed, &work.upload),
            Next::Piece(offset) => {
                let rest = &sent.file[offset..];
                let piece = &rest[..rest.len().min(900)];
                Request::piece(claimed, &work.upload, offset, piece)
            }
            Next::EndUpload => Request::end_upload(claimed, &work.upload, &sent.file),
            Next::Finish => {
                let state = match work.state {
                    State::Succeeded => "success",
                    _ => "failed",
                };
                Request::finish(&self.runner, sent.job, state, &sent.trace)
            }
        }
    }

    fn record(&self, network: &Network, next: Next, work: &Work, from: u64, reply: Option<&Reply>) {
        let answer = match reply.map(|reply| reply.status) {
            Some(200 | 202) => Answer::Accepted,
            // Also the answer to a report that was carried out before and is sent again.
            Some(403 | 404) if next != Next::Finish => Answer::Refused,
            _ => Answer::Unknown,
        };
        let action = match next {
            // A trace may grow for some minutes after the end of its job.
            Next::Append if answer != Answer::Refused => return,
            Next::AskOffset | Next::Piece(_) | Next::EndUpload => return,
            Next::Heartbeat | Next::Append => Action::Heartbeat(answer),
            Next::Finish => Action::Finish(work.state, answer),
        };
        network
            .history
            .record(self.number, work.sent.job, from, action);
    }
}

fn stored_of(reply: Option<&Reply>) -> Option<usize> {
    let reply = reply?;
    assert!([200, 202, 416].contains(&reply.status), "{reply:?}");
    Some(usize::try_from(reply.stored.unwrap()).unwrap())
}

/// Somebody who creates builds, reads them, and cancels jobs.
#[derive(Debug, Default)]
pub(super) struct Person {
    /// The builds whose creation was acknowledged.
    pub(super) builds: Vec<String>,
    /// Running jobs that were seen last.
    running: Vec<i64>,
}

impl Person {
    pub(super) async fn step(&mut self, network: &mut Network) {
        match network.random.below(10) {
            0..4 => self.create(network).await,
            4..8 if !self.builds.is_empty() => {
                let chosen = network.random.below(self.builds.len());
                let build = self.builds[chosen].clone();
                let request = Request::get(&network.farm, format!("/v1/builds/{build}"));
                let from = network.history.now();
                if let Some(reply) = network.send(PERSON, &request).await {
                    self.running = read_jobs(network, from, &reply);
                }
            }
            _ => self.cancel(network).await,
        }
    }

    async fn create(&mut self, network: &mut Network) {
        let request = Request::create_build(&network.farm);
        let Some(reply) = network.send(PERSON, &request).await else {
            return;
        };
        assert_eq!(reply.status, 201, "{reply:?}");
        let id = reply.json()["id"].as_str().unwrap().to_owned();
        self.builds.push(id);
    }

    async fn cancel(&mut self, network: &mut Network) {
        let Some(job) = self.running.pop() else {
            return;
        };
        let request = Request::cancel(&network.farm, job);
        let from = network.history.now();
        let reply = network.send(PERSON, &request).await;
        let answer = match reply.map(|reply| reply.status) {
            Some(200) => Answer::Accepted,
            // It had ended, or the request arrived twice.
            Some(409) | None => Answer::Unknown,
            status => panic!("a cancel was answered {status:?}"),
        };
        network
            .history
            .record(PERSON, job, from, Action::Cancel(answer));
    }

    /// Whether every acknowledged build has ended.
    pub(super) async fn all_ended(&self, network: &mut Network) -> bool {
        for build in &self.builds {
            let shown = read_build(network, build).await;
            if ["pending", "running"].contains(&shown["state"].as_str().unwrap()) {
                return false;
            }
        }
        true
    }
}

/// Reads a build through a network without faults.
pub(super) async fn read_build(network: &mut Network, build: &str) -> Value {
    let request = Request::get(&network.farm, format!("/v1/builds/{build}"));
    let from = network.history.now();
    let reply = network.send(PERSON, &request).await.unwrap();
    read_jobs(network, from, &reply);
    reply.json()
}

/// Records the jobs of a build. Returns those that run.
fn read_jobs(network: &Network, from: u64, reply: &Reply) -> Vec<i64> {
    assert_eq!(reply.status, 200, "{reply:?}");
    let shown = reply.json();
    let mut running = Vec::new();
    for job in shown["jobs"].as_array().unwrap() {
        let state = State::from_name(job["state"].as_str().unwrap()).unwrap();
        let retries = job["retries"].as_i64();
        let id = job["id"].as_i64().unwrap();
        let read = Action::Read { state, retries };
        network.history.record(PERSON, id, from, read);
        if state == State::Running {
            running.push(id);
        }
    }
    running
}

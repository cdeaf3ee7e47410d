//! Each request of a job's life is interrupted at each point where the coordinator can fail, and sent
//! again as its protocol says.
//!
//! The points are counted, not named: the life of a job is run again and again, with a fault at the
//! first point, the second, and so on, until a run passes no more points.

use std::collections::BTreeSet;

use serde_json::Value;
use slipway_farm::{FailPoint, Fault};
use slipway_history::{Action, Answer, Recorder, State, check};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claimed, Reply, Request, Runner, register};
use crate::left_overs::nothing_is_left_over;

on_both_back_ends!(
    jobs_survive_a_lost_connection_to_the_storage_at_every_point,
    jobs_survive_requests_that_end_at_every_point,
    jobs_survive_a_crash_of_the_coordinator_at_every_point,
);

/// How often a request is sent until it must have an answer.
const MAX_TRIES: usize = 5;
const RUNNER: u32 = 1;
const PERSON: u32 = 0;
const UPLOAD: &str = "5f9d3c1e-0a70-4b1e-8a35-6f7a30b4f0";

async fn jobs_survive_a_lost_connection_to_the_storage_at_every_point(backend: Backend) {
    at_every_point(backend, Fault::Unavailable).await;
}

async fn jobs_survive_requests_that_end_at_every_point(backend: Backend) {
    at_every_point(backend, Fault::Abort).await;
}

async fn jobs_survive_a_crash_of_the_coordinator_at_every_point(backend: Backend) {
    at_every_point(backend, Fault::Crash).await;
}

async fn at_every_point(backend: Backend, fault: Fault) {
    let mut farm = TestFarm::start(backend).await;
    farm.project("acme/api").await;
    let runner = register(&farm).await;
    let mut reached = Vec::new();
    for passed in 0.. {
        farm.fail_points.inject(fault, passed);
        let mut life = Life {
            farm: &mut farm,
            runner: &runner,
            history: Recorder::default(),
            number: passed,
            requests: 0,
            reached: None,
        };
        life.run().await;
        let at = life.reached.or_else(|| farm.fail_points.disarm());
        match at {
            Some(point) => reached.push(point),
            None => break,
        }
    }
    let kinds: BTreeSet<FailPoint> = reached.iter().copied().collect();
    let all = [
        FailPoint::BlobBegins,
        FailPoint::BlobStored,
        FailPoint::Committed,
        FailPoint::BlobUnused,
    ];
    assert_eq!(kinds, BTreeSet::from(all), "{reached:?}");
    assert!(reached.len() >= 20, "{reached:?}");
    nothing_is_left_over(&mut farm).await;
}

/// The life of a build: it is created, its job is claimed, sends a trace and a file, and ends. A second
/// build is canceled.
struct Life<'a> {
    farm: &'a mut TestFarm,
    runner: &'a Runner,
    history: Recorder,
    /// How many points are passed before the fault.
    number: u32,
    /// The id of the next request for a job.
    requests: u32,
    reached: Option<FailPoint>,
}

impl Life<'_> {
    async fn run(&mut self) {
        let build = self.create_build().await;
        let canceled = self.create_build().await;
        self.cancel(&canceled).await;
        let mut worked = 0;
        // There are more builds than two if the answer to a creation was lost.
        while let Some(claimed) = self.claim().await {
            self.work(&claimed).await;
            worked += 1;
        }
        assert!(worked >= 1);
        for (id, state) in [(&build, "succeeded"), (&canceled, "canceled")] {
            let shown = self.build(id).await;
            assert_eq!(shown["state"], state, "{shown:#}");
            assert_eq!(shown["jobs"].as_array().unwrap().len(), 1, "{shown:#}");
        }
        let violations = check(&self.history.events());
        assert!(violations.is_empty(), "{violations:#?}");
    }

    /// Sends a request until it has an answer that is not about the fault. Also returns how often it was
    /// sent.
    async fn send(&mut self, request: &Request) -> (Reply, usize) {
        for tries in 1..=MAX_TRIES {
            let reply = request.send(self.farm).await;
            if self.farm.fail_points.has_crashed() {
                self.reached = self.farm.fail_points.disarm();
                self.farm.restart().await;
            }
            match reply {
                Some(reply) if reply.status < 500 => return (reply, tries),
                _ => {}
            }
        }
        panic!("{request:?} is not answered");
    }

    async fn create_build(&mut self) -> String {
        let request = Request::create_build(self.farm);
        let (reply, _) = self.send(&request).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    async fn build(&mut self, id: &str) -> Value {
        let from = self.history.now();
        let request = Request::get(self.farm, format!("/v1/builds/{id}"));
        let (reply, _) = self.send(&request).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let shown = reply.json();
        for job in shown["jobs"].as_array().unwrap() {
            let state = State::from_name(job["state"].as_str().unwrap()).unwrap();
            let retries = job["retries"].as_i64();
            let read = Action::Read { state, retries };
            let id = job["id"].as_i64().unwrap();
            self.history.record(PERSON, id, from, read);
        }
        shown
    }

    async fn cancel(&mut self, build: &str) {
        let shown = self.build(build).await;
        let job = shown["jobs"][0]["id"].as_i64().unwrap();
        let from = self.history.now();
        let request = Request::cancel(self.farm, job);
        let (reply, tries) = self.send(&request).await;
        let answer = match (reply.status, tries) {
            (200, _) => Answer::Accepted,
            // The first request canceled it.
            (409, 2..) => Answer::Unknown,
            _ => panic!("{reply:?}"),
        };
        self.history
            .record(PERSON, job, from, Action::Cancel(answer));
    }

    async fn claim(&mut self) -> Option<Claimed> {
        self.requests += 1;
        let id = format!(
            "3f0c9f0e-6d0c-4d4e-{:04x}-{:012x}",
            self.number, self.requests
        );
        let from = self.history.now();
        let (reply, _) = self.send(&Request::claim(self.runner, &id)).await;
        // What "no job" is depends on the `User-Agent`.
        if [204, 404].contains(&reply.status) {
            return None;
        }
        assert_eq!(reply.status, 201, "{reply:?}");
        let claimed = Claimed::read(&reply);
        self.history
            .record(RUNNER, claimed.job, from, Action::Claim);
        Some(claimed)
    }

    async fn work(&mut self, claimed: &Claimed) {
        let trace: Vec<u8> = format!("line of job {}\n", claimed.job).repeat(40).into();
        let file: Vec<u8> = (0..3000u32).map(|at| (at % 251) as u8).collect();
        let runner = self.runner;
        self.report(claimed, Request::heartbeat(runner, claimed.job))
            .await;
        let mut stored = 0;
        while stored < trace.len() {
            let end = (stored + 400).min(trace.len());
            let request = Request::append(claimed, stored, &trace[stored..end]);
            let (reply, _) = self.send(&request).await;
            assert!([202, 416].contains(&reply.status), "{reply:?}");
            stored = usize::try_from(reply.stored.unwrap()).unwrap();
        }
        self.upload(claimed, &file).await;
        let end = Request::finish(runner, claimed.job, "success", &trace);
        self.report(claimed, end).await;
        let path = format!("/v1/jobs/{}/trace", claimed.job);
        let request = Request::get(self.farm, path);
        assert_eq!(self.send(&request).await.0.body, trace);
        self.compare_file(claimed, &file).await;
    }

    /// Sends an update of a job.
    async fn report(&mut self, claimed: &Claimed, request: Request) {
        let is_end = request.is_end();
        let from = self.history.now();
        let (reply, tries) = self.send(&request).await;
        let answer = match (reply.status, tries) {
            (200, _) => Answer::Accepted,
            // The first report ended the job.
            (403 | 404, 2..) if is_end => Answer::Unknown,
            _ => panic!("{reply:?}"),
        };
        let action = if is_end {
            Action::Finish(State::Succeeded, answer)
        } else {
            Action::Heartbeat(answer)
        };
        self.history.record(RUNNER, claimed.job, from, action);
    }

    /// Uploads a file in pieces, as slipway-runner does.
    async fn upload(&mut self, claimed: &Claimed, file: &[u8]) {
        let upload = format!("{UPLOAD}{:02}", claimed.job % 100);
        loop {
            let request = Request::upload_offset(claimed, &upload);
            let (reply, _) = self.send(&request).await;
            let stored = usize::try_from(reply.stored.unwrap()).unwrap();
            if stored == file.len() {
                break;
            }
            let end = (stored + 1500).min(file.len());
            let request = Request::piece(claimed, &upload, stored, &file[stored..end]);
            let (reply, _) = self.send(&request).await;
            assert!([202, 416].contains(&reply.status), "{reply:?}");
        }
        let request = Request::end_upload(claimed, &upload, file);
        let (reply, _) = self.send(&request).await;
        assert_eq!(reply.status, 201, "{reply:?}");
    }

    async fn compare_file(&mut self, claimed: &Claimed, file: &[u8]) {
        let path = format!("/v1/jobs/{}/artifacts", claimed.job);
        let request = Request::get(self.farm, path);
        let list = self.send(&request).await.0.json();
        let items = list["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{list:#}");
        let path = format!("/v1/artifacts/{}/content", items[0]["id"]);
        let request = Request::get(self.farm, path);
        assert_eq!(self.send(&request).await.0.body, file);
    }
}

//! Concurrent runners and people: whatever their order, the history of what the farm acknowledged to them
//! has no violation. `slipway_history` describes what that means.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "support/runner_v1.rs"]
#[expect(dead_code, reason = "the tests of the runner protocol need more of it")]
mod client;

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use slipway_history::{Action, Answer, Recorder, State, check};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};
use tokio::time::timeout;

use crate::client::{Claim, Runner, RunnerApi};

on_both_back_ends!(history_of_concurrent_clients_has_no_violation);

const RUNNERS: u32 = 6;
const BUILDS: usize = 60;
/// The client number of people.
const PEOPLE: u32 = 0;
/// How far a runner that is silent moves the clock, in seconds: after two times its job is lost. Others
/// may lose theirs as well.
const TICK_S: i64 = 46;
const LIMIT: Duration = Duration::from_secs(90);

/// What all clients share.
struct Clients<'a> {
    farm: &'a TestFarm,
    history: Recorder,
    done: Cell<bool>,
}

async fn history_of_concurrent_clients_has_no_violation(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let mut builds = Vec::new();
    for _ in 0..BUILDS {
        builds.push(farm.build(&project).await.uuid.to_string());
    }
    let clients = Clients {
        farm: &farm,
        history: Recorder::default(),
        done: Cell::new(false),
    };
    let mut runners = Vec::new();
    for number in 1..=RUNNERS {
        let runner = RunnerApi::new(&farm).register_runner(&farm).await;
        runners.push(clients.work(number, runner));
    }
    clients.cancel_first_job(&builds[0]).await;
    let all = async { tokio::join!(join_all(runners), clients.watch(&builds)) };
    timeout(LIMIT, all).await.expect("every build ends in time");
    let events = clients.history.events();
    let violations = check(&events);
    assert!(violations.is_empty(), "{violations:#?}");
    let has = |action: Action| events.iter().any(|event| event.action == action);
    for expected in [
        Action::Finish(State::Succeeded, Answer::Accepted),
        Action::Finish(State::Succeeded, Answer::Refused),
        Action::Cancel(Answer::Accepted),
    ] {
        assert!(has(expected), "nothing of {expected:?} happened");
    }
}

impl Clients<'_> {
    async fn work(&self, number: u32, runner: Runner) {
        while !self.done.get() {
            let from = self.history.now();
            let polled = runner.poll().await;
            if polled.status == 201 {
                let claim = Claim::read(&runner, &polled);
                self.history.record(number, claim.id.0, from, Action::Claim);
                self.run(number, &claim).await;
            }
        }
    }

    /// Runs a job in one of the ways in which it can end.
    async fn run(&self, number: u32, claim: &Claim) {
        match claim.id.0 % 5 {
            // Somebody cancels it while its last report is on the way.
            0 => {
                self.report(number, claim, "running").await;
                let finish = self.report(number, claim, "success");
                tokio::join!(finish, self.cancel(claim.id.0));
            }
            // The runner is silent until it has lost the job, and reports then.
            1 => {
                while !self.read(claim.id.0).await.is_terminal() {
                    self.farm.advance(TICK_S);
                    self.farm.expire_leases().await;
                }
                self.report(number, claim, "success").await;
            }
            2 => self.report(number, claim, "failed").await,
            _ => {
                for _ in 0..3 {
                    self.report(number, claim, "running").await;
                }
                self.report(number, claim, "success").await;
                // Sent twice, as after a lost answer.
                self.report(number, claim, "success").await;
            }
        }
    }

    async fn report(&self, number: u32, claim: &Claim, state: &str) {
        let from = self.history.now();
        let answered = claim.put(json!({ "state": state })).await;
        let answer = match answered.status {
            200 => Answer::Accepted,
            403 | 404 => Answer::Refused,
            _ => panic!("{answered:?}"),
        };
        let action = match state {
            "success" => Action::Finish(State::Succeeded, answer),
            "failed" => Action::Finish(State::Failed, answer),
            _ => Action::Heartbeat(answer),
        };
        self.history.record(number, claim.id.0, from, action);
    }

    async fn cancel(&self, job: i64) {
        let from = self.history.now();
        let path = format!("/v1/jobs/{job}/cancel");
        let answer = match self.request(Method::POST, &path).await.0 {
            200 => Answer::Accepted,
            409 => Answer::Refused,
            status => panic!("{status}"),
        };
        self.history
            .record(PEOPLE, job, from, Action::Cancel(answer));
    }

    /// Cancels the job of a build that no runner has claimed yet.
    async fn cancel_first_job(&self, build: &str) {
        let (_, shown) = self
            .request(Method::GET, &format!("/v1/builds/{build}"))
            .await;
        self.cancel(shown["jobs"][0]["id"].as_i64().unwrap()).await;
    }

    /// Reads a job.
    async fn read(&self, job: i64) -> State {
        let from = self.history.now();
        let (status, shown) = self.request(Method::GET, &format!("/v1/jobs/{job}")).await;
        assert_eq!(status, 200);
        self.record_read(from, &shown)
    }

    fn record_read(&self, from: u64, job: &Value) -> State {
        let state = State::from_name(job["state"].as_str().unwrap()).unwrap();
        let retries = job["retries"].as_i64();
        let read = Action::Read { state, retries };
        self.history
            .record(PEOPLE, job["id"].as_i64().unwrap(), from, read);
        state
    }

    /// Reads all builds again and again, until all of them have ended.
    async fn watch(&self, builds: &[String]) {
        while !self.done.get() {
            let mut have_ended = true;
            for build in builds {
                let from = self.history.now();
                let path = format!("/v1/builds/{build}");
                let (status, shown) = self.request(Method::GET, &path).await;
                assert_eq!(status, 200);
                for job in shown["jobs"].as_array().unwrap() {
                    self.record_read(from, job);
                }
                let state = shown["state"].as_str().unwrap();
                have_ended &= !["pending", "running"].contains(&state);
            }
            self.done.set(have_ended);
        }
    }

    /// Sends a request as the administrator.
    async fn request(&self, method: Method, path: &str) -> (u16, Value) {
        let request = self.farm.http.request(method, self.farm.url(path));
        let request = request.bearer_auth(&self.farm.admin_token);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }
}

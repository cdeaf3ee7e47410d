//! One build in the words of every API: what one of them starts, all others show and call off.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

#[path = "support/runner_v1.rs"]
#[expect(dead_code, reason = "the tests of the runner protocol need more of it")]
mod client;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_domain::When;
use slipway_domain::{BuildUuid, JobId};
use slipway_farm::{Build, ProjectAccess};
use slipway_testkit::farm::{SHA, jobs_named};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claim, Runner, RunnerApi};

on_both_back_ends!(
    a_build_is_called_off_through_the_native_api,
    a_build_is_called_off_through_gitlabs_api,
    a_build_is_called_off_through_quays_api,
    every_state_has_a_word_in_every_api,
    a_job_that_waits_for_another_has_a_word_in_every_api,
);

/// What a job is called by its id, natively and in GitLab's API, and its build in Conveyor's and
/// Quay's.
type Words = [String; 4];

/// A farm with the project `acme/api`, a runner of ours, and an administrator who calls.
struct Yard {
    farm: TestFarm,
    project: ProjectAccess,
    runner: Runner,
}

impl Yard {
    async fn start(backend: Backend) -> Self {
        let farm = TestFarm::start(backend).await;
        let project = farm.project("acme/api").await;
        let api = RunnerApi::new(&farm).with_user_agent(Some("slipway-runner"));
        let body = json!({"description": "ours", "run_untagged": true});
        let runner = api.register(&farm.registration_token, body).await;
        Self {
            farm,
            project,
            runner,
        }
    }

    /// Sends a request and gives the status and the body; null when there is none.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let (http, token) = (&self.farm.http, &self.farm.admin_token);
        let mut request = http.request(method, self.farm.url(path));
        request = match path.starts_with("/builds") {
            true => request.basic_auth("anybody", Some(token)),
            false => request.bearer_auth(token),
        };
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let bytes = answer.bytes().await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn words(&self, build: BuildUuid, job: JobId) -> Words {
        let word = async |path: &str, key: &str| {
            let body = self.get(path).await;
            body[key].as_str().unwrap().to_owned()
        };
        let quay = format!("/api/v1/repository/acme/api/build/{build}");
        // Both doors of Quay's API show the same build.
        let status = self.get(&format!("{quay}/status")).await;
        assert_eq!(self.get(&quay).await, status);
        [
            word(&format!("/v1/jobs/{job}"), "state").await,
            word(&format!("/api/v3/projects/1/builds/{job}"), "status").await,
            word(&format!("/builds/{build}"), "state").await,
            word(&quay, "phase").await,
        ]
    }

    /// The build that Conveyor's clients ask for, as its id and the id of its job, which GitLab's
    /// API lists.
    async fn asked_for(&self) -> (BuildUuid, JobId) {
        let body = json!({"repository": "acme/api", "branch": "main", "sha": SHA});
        let (status, build) = self.call(Method::POST, "/builds", Some(body)).await;
        assert_eq!(status, 201, "{build}");
        let jobs = self.get("/api/v3/projects/1/builds").await;
        let jobs = jobs.as_array().unwrap();
        assert_eq!(jobs.len(), 1);
        assert_eq!(jobs[0]["pipeline"]["sha"], SHA);
        assert_eq!(jobs[0]["ref"], "main");
        let id = build["id"].as_str().unwrap();
        let listed = self.get("/api/v1/repository/acme/api/build/").await;
        assert_eq!(listed["builds"][0]["id"], id);
        assert_eq!(listed["builds"][0]["display_name"], SHA[..7]);
        let job = jobs[0]["id"].as_i64().unwrap();
        (id.parse().unwrap(), JobId(job))
    }
}

async fn enter(claim: &Claim, phase: &str) {
    let body = json!({"state": "running", "phase": phase});
    claim.put(body).await.is(200);
}

/// A build that Conveyor's API started, a runner has, and `cancel` calls off.
async fn called_off(backend: Backend, cancel: impl AsyncFn(&Yard, BuildUuid, JobId) -> StatusCode) {
    let yard = Yard::start(backend).await;
    let (build, job) = yard.asked_for().await;
    let words = yard.words(build, job).await;
    assert_eq!(words, ["pending", "pending", "pending", "waiting"]);
    let claim = yard.runner.claim().await;
    assert_eq!(claim.id, job);
    for (phase, told) in [("fetching", "unpacking"), ("building", "building")] {
        enter(&claim, phase).await;
        let words = yard.words(build, job).await;
        assert_eq!(words, ["running", "running", "building", told]);
    }
    let status = cancel(&yard, build, job).await;
    assert!(status.is_success(), "{status}");
    let words = yard.words(build, job).await;
    assert_eq!(words, ["canceled", "canceled", "failed", "cancelled"]);
    // Its runner hears of it, and can end it in no other way.
    let late = claim.put(json!({"state": "success"})).await;
    assert_eq!(late.status, 404);
    assert_eq!(yard.words(build, job).await, words);
}

async fn a_build_is_called_off_through_the_native_api(backend: Backend) {
    let cancel = async |yard: &Yard, build: BuildUuid, _: JobId| {
        let path = format!("/v1/builds/{build}/cancel");
        yard.call(Method::POST, &path, None).await.0
    };
    called_off(backend, cancel).await;
}

async fn a_build_is_called_off_through_gitlabs_api(backend: Backend) {
    let cancel = async |yard: &Yard, _: BuildUuid, job: JobId| {
        let path = format!("/api/v3/projects/1/builds/{job}/cancel");
        yard.call(Method::POST, &path, None).await.0
    };
    called_off(backend, cancel).await;
}

async fn a_build_is_called_off_through_quays_api(backend: Backend) {
    let cancel = async |yard: &Yard, build: BuildUuid, _: JobId| {
        let path = format!("/api/v1/repository/acme/api/build/{build}");
        yard.call(Method::DELETE, &path, None).await.0
    };
    called_off(backend, cancel).await;
}

/// What becomes of a build.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Nobody takes it.
    None,
    /// A runner has it, in a phase.
    Phase(&'static str),
    /// Its runner says that it is over, as `success` or `failed`, and why.
    Ended(&'static str, Option<&'static str>),
    /// Somebody calls it off, before or while a runner has it.
    Canceled(bool),
    /// Its runner fell silent, and nobody has looked yet.
    Silent,
    /// So many attempts of it were lost.
    Lost(usize),
}

async fn every_state_has_a_word_in_every_api(backend: Backend) {
    let table = [
        (Fate::None, "pending pending pending waiting"),
        (
            Fate::Phase("preparing"),
            "running running building build-scheduled",
        ),
        (
            Fate::Phase("fetching"),
            "running running building unpacking",
        ),
        (Fate::Phase("pulling"), "running running building pulling"),
        (Fate::Phase("building"), "running running building building"),
        (Fate::Phase("pushing"), "running running building pushing"),
        (Fate::Phase("uploading"), "running running building pushing"),
        (Fate::Silent, "running running building internalerror"),
        (
            Fate::Ended("success", None),
            "succeeded success succeeded complete",
        ),
        (
            Fate::Ended("failed", Some("build_failed")),
            "failed failed failed error",
        ),
        (
            Fate::Ended("failed", Some("timed_out")),
            "failed failed failed error",
        ),
        (
            Fate::Ended("failed", Some("runner_fault")),
            "pending pending pending internalerror",
        ),
        (Fate::Lost(1), "pending pending pending internalerror"),
        (Fate::Lost(2), "pending pending pending internalerror"),
        (Fate::Lost(3), "failed failed failed expired"),
        (Fate::Canceled(false), "canceled canceled failed cancelled"),
        (Fate::Canceled(true), "canceled canceled failed cancelled"),
    ];
    let yard = Yard::start(backend).await;
    for (fate, expected) in table {
        let build = yard.farm.build(&yard.project).await;
        meet(&yard, &build, fate).await;
        let job = last_job(&yard, &build).await;
        let words = yard.words(build.uuid, job).await;
        assert_eq!(words.join(" "), expected, "{fate:?}");
        // The next one of the table is the next that is claimed.
        let open = yard.farm.build_now(&build).await;
        if !open.state.is_done() {
            let farm = yard.farm.farm();
            farm.cancel_build(&yard.project, &open).await.unwrap();
        }
    }
}

async fn last_job(yard: &Yard, build: &Build) -> JobId {
    yard.farm.jobs(build).await.pop().unwrap().id
}

async fn meet(yard: &Yard, build: &Build, fate: Fate) {
    match fate {
        Fate::None => {}
        Fate::Canceled(false) => yard.farm.cancel(last_job(yard, build).await).await,
        Fate::Canceled(true) => {
            let claim = yard.runner.claim().await;
            yard.farm.cancel(claim.id).await;
        }
        Fate::Phase(phase) => enter(&yard.runner.claim().await, phase).await,
        Fate::Ended(state, reason) => {
            let claim = yard.runner.claim().await;
            let body = json!({"state": state, "failure_reason": reason});
            claim.put(body).await.is(200);
        }
        Fate::Silent => {
            yard.runner.claim().await;
            yard.farm.advance(3600);
        }
        Fate::Lost(times) => {
            for _ in 0..times {
                yard.runner.claim().await;
                // Longer than a runner that lost a job is passed over for the next attempt.
                yard.farm.advance(3600);
                assert_eq!(yard.farm.expire_leases().await, 1);
                yard.farm.advance(3600);
            }
        }
    }
}

/// The second job of a build whose jobs need each other, as the first one goes on.
async fn a_job_that_waits_for_another_has_a_word_in_every_api(backend: Backend) {
    let yard = Yard::start(backend).await;
    let mut definition = jobs_named(&[("first", &[]), ("second", &["first"])]);
    let second = async |build: &Build| yard.words(build.uuid, last_job(&yard, build).await).await;
    let build = yard
        .farm
        .build_defined(&yard.project, definition.clone())
        .await;
    let words = second(&build).await.join(" ");
    assert_eq!(words, "waiting created pending waiting");
    let claim = yard.runner.claim().await;
    let words = second(&build).await.join(" ");
    assert_eq!(words, "waiting created building build-scheduled");
    claim.put(json!({"state": "failed"})).await.is(200);
    let words = second(&build).await.join(" ");
    assert_eq!(words, "skipped skipped failed error");

    let build = yard.farm.build(&yard.project).await;
    yard.farm.cancel(yard.farm.jobs(&build).await[0].id).await;
    let words = second(&build).await.join(" ");
    assert_eq!(words, "skipped skipped failed cancelled");

    let by_hand = definition.jobs.last_mut().unwrap();
    by_hand.when = When::Manual;
    let build = yard.farm.build_defined(&yard.project, definition).await;
    yard.runner.claim().await.succeed().await;
    // The job that nobody started holds nothing up; GitLab's API knows it as one that was skipped.
    let words = second(&build).await.join(" ");
    assert_eq!(words, "manual skipped succeeded complete");
}

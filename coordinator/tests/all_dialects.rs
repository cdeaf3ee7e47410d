//! One build in every API: what one of them creates, all others show and cancel.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

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
    build_is_canceled_through_the_native_api,
    build_is_canceled_through_gitlabs_api,
    build_is_canceled_through_quays_api,
    every_state_has_a_name_in_every_api,
    waiting_job_has_a_state_in_every_api,
);

/// The state of a job in the native and in GitLab's API, and of its build in Conveyor's and Quay's.
type Words = [String; 4];

/// A farm with the project `acme/api` and a runner of ours.
struct Fixture {
    farm: TestFarm,
    project: ProjectAccess,
    runner: Runner,
}

impl Fixture {
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

    /// Sends a request as the administrator; returns the status and the body, or null without one.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let (http, token) = (&self.farm.http, &self.farm.admin_token);
        let mut request = http.request(method, self.farm.url(path));
        // Conveyor's clients authenticate with HTTP Basic.
        request = if path.starts_with("/builds") {
            request.basic_auth("anybody", Some(token))
        } else {
            request.bearer_auth(token)
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
        // Both routes of Quay's API show the same build.
        let status = self.get(&format!("{quay}/status")).await;
        assert_eq!(self.get(&quay).await, status);
        [
            word(&format!("/v1/jobs/{job}"), "state").await,
            word(&format!("/api/v3/projects/1/builds/{job}"), "status").await,
            word(&format!("/builds/{build}"), "state").await,
            word(&quay, "phase").await,
        ]
    }

    /// Creates a build through Conveyor's API; returns its id and, from GitLab's API, the id of its job.
    async fn create_build(&self) -> (BuildUuid, JobId) {
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

/// Creates a build through Conveyor's API, lets a runner claim it, and cancels it with `cancel`.
async fn assert_cancel(
    backend: Backend,
    cancel: impl AsyncFn(&Fixture, BuildUuid, JobId) -> StatusCode,
) {
    let fixture = Fixture::start(backend).await;
    let (build, job) = fixture.create_build().await;
    let words = fixture.words(build, job).await;
    assert_eq!(words, ["pending", "pending", "pending", "waiting"]);
    let claim = fixture.runner.claim().await;
    assert_eq!(claim.id, job);
    for (phase, told) in [("fetching", "unpacking"), ("building", "building")] {
        enter(&claim, phase).await;
        let words = fixture.words(build, job).await;
        assert_eq!(words, ["running", "running", "building", told]);
    }
    let status = cancel(&fixture, build, job).await;
    assert!(status.is_success(), "{status}");
    let words = fixture.words(build, job).await;
    assert_eq!(words, ["canceled", "canceled", "failed", "cancelled"]);
    // The runner learns of it, and cannot end the job in another way.
    let late = claim.put(json!({"state": "success"})).await;
    assert_eq!(late.status, 404);
    assert_eq!(fixture.words(build, job).await, words);
}

async fn build_is_canceled_through_the_native_api(backend: Backend) {
    let cancel = async |fixture: &Fixture, build: BuildUuid, _: JobId| {
        let path = format!("/v1/builds/{build}/cancel");
        fixture.call(Method::POST, &path, None).await.0
    };
    assert_cancel(backend, cancel).await;
}

async fn build_is_canceled_through_gitlabs_api(backend: Backend) {
    let cancel = async |fixture: &Fixture, _: BuildUuid, job: JobId| {
        let path = format!("/api/v3/projects/1/builds/{job}/cancel");
        fixture.call(Method::POST, &path, None).await.0
    };
    assert_cancel(backend, cancel).await;
}

async fn build_is_canceled_through_quays_api(backend: Backend) {
    let cancel = async |fixture: &Fixture, build: BuildUuid, _: JobId| {
        let path = format!("/api/v1/repository/acme/api/build/{build}");
        fixture.call(Method::DELETE, &path, None).await.0
    };
    assert_cancel(backend, cancel).await;
}

/// What happens to a build.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// No runner claims it.
    None,
    /// A runner runs it, in a phase.
    Phase(&'static str),
    /// Its runner reports `success` or `failed`, with a reason.
    Ended(&'static str, Option<&'static str>),
    /// It is canceled, before or while a runner runs it.
    Canceled(bool),
    /// Its lease has expired, but the duty has not run yet.
    Silent,
    /// This many attempts were lost.
    Lost(usize),
}

async fn every_state_has_a_name_in_every_api(backend: Backend) {
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
    let fixture = Fixture::start(backend).await;
    for (fate, expected) in table {
        let build = fixture.farm.build(&fixture.project).await;
        meet(&fixture, &build, fate).await;
        let job = last_job(&fixture, &build).await;
        let words = fixture.words(build.uuid, job).await;
        assert_eq!(words.join(" "), expected, "{fate:?}");
        // Builds are claimed in the order of the table.
        let open = fixture.farm.build_now(&build).await;
        if !open.state.is_done() {
            let farm = fixture.farm.farm();
            farm.cancel_build(&fixture.project, &open).await.unwrap();
        }
    }
}

async fn last_job(fixture: &Fixture, build: &Build) -> JobId {
    fixture.farm.jobs(build).await.pop().unwrap().id
}

async fn meet(fixture: &Fixture, build: &Build, fate: Fate) {
    match fate {
        Fate::None => {}
        Fate::Canceled(false) => fixture.farm.cancel(last_job(fixture, build).await).await,
        Fate::Canceled(true) => {
            let claim = fixture.runner.claim().await;
            fixture.farm.cancel(claim.id).await;
        }
        Fate::Phase(phase) => enter(&fixture.runner.claim().await, phase).await,
        Fate::Ended(state, reason) => {
            let claim = fixture.runner.claim().await;
            let body = json!({"state": state, "failure_reason": reason});
            claim.put(body).await.is(200);
        }
        Fate::Silent => {
            fixture.runner.claim().await;
            fixture.farm.advance(3600);
        }
        Fate::Lost(times) => {
            for _ in 0..times {
                fixture.runner.claim().await;
                // Longer than a runner is excluded from the next attempt of a job it lost.
                fixture.farm.advance(3600);
                assert_eq!(fixture.farm.expire_leases().await, 1);
                fixture.farm.advance(3600);
            }
        }
    }
}

/// The second of two jobs, while the first one runs and ends.
async fn waiting_job_has_a_state_in_every_api(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let mut definition = jobs_named(&[("first", &[]), ("second", &["first"])]);
    let second = async |build: &Build| {
        fixture
            .words(build.uuid, last_job(&fixture, build).await)
            .await
    };
    let build = fixture
        .farm
        .build_defined(&fixture.project, definition.clone())
        .await;
    let words = second(&build).await.join(" ");
    assert_eq!(words, "waiting created pending waiting");
    let claim = fixture.runner.claim().await;
    let words = second(&build).await.join(" ");
    assert_eq!(words, "waiting created building build-scheduled");
    claim.put(json!({"state": "failed"})).await.is(200);
    let words = second(&build).await.join(" ");
    assert_eq!(words, "skipped skipped failed error");

    let build = fixture.farm.build(&fixture.project).await;
    fixture
        .farm
        .cancel(fixture.farm.jobs(&build).await[0].id)
        .await;
    let words = second(&build).await.join(" ");
    assert_eq!(words, "skipped skipped failed cancelled");

    let by_hand = definition.jobs.last_mut().unwrap();
    by_hand.when = When::Manual;
    let build = fixture
        .farm
        .build_defined(&fixture.project, definition)
        .await;
    fixture.runner.claim().await.succeed().await;
    // A manual job does not delay the build; GitLab's API shows it as skipped.
    let words = second(&build).await.join(" ");
    assert_eq!(words, "manual skipped succeeded complete");
}

//! Claims that slipway-runner sends again because the answer was lost.
//!
//! See `docs/protocols/runner-v1.md#claims-that-are-sent-again`.

use reqwest::Method;
use serde_json::json;
use slipway_domain::{FailureReason, JobState, Outcome};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Claim, Runner, RunnerApi};

on_both_back_ends!(
    repeated_claim_returns_the_same_job_with_a_token_that_works,
    repeated_claim_returns_the_same_job_after_a_restart,
    repeated_claim_with_a_current_queue_key_is_answered_at_once,
    repeated_claim_of_a_paused_runner_returns_its_job,
    request_id_of_another_runner_claims_another_job,
    request_id_of_a_job_that_has_ended_claims_the_next_job,
    simultaneous_claims_with_one_request_id_get_one_job,
    repeated_claim_renews_the_lease_for_two_minutes,
    claims_without_a_request_id_get_different_jobs,
    invalid_request_id_is_refused,
);

const FIRST: &str = "3f0c9f0e-6d0c-4d4e-9a60-1d2a9ad3a001";
const SECOND: &str = "3f0c9f0e-6d0c-4d4e-9a60-1d2a9ad3a002";

/// The lease of a runner that sends heartbeats, in seconds.
const LEASE_S: i64 = 15;

/// Registers a runner that reports itself as slipway-runner does.
pub(crate) async fn own_runner(farm: &TestFarm) -> Runner {
    let body = json!({"info": own_info()});
    RunnerApi::new(farm)
        .register(&farm.registration_token, body)
        .await
}

fn own_info() -> serde_json::Value {
    json!({
        "name": "slipway-runner", "version": "1.0.0",
        "features": {"variables": true, "image": true, "features": true, "heartbeat": true},
    })
}

/// Polls with a request id.
pub(crate) async fn ask(runner: &Runner, request: &str) -> ApiResponse {
    let body = json!({"info": own_info(), "token": runner.token, "request_id": request});
    runner
        .api
        .json(Method::POST, "/builds/register.json", &body)
        .await
}

async fn claim(runner: &Runner, request: &str) -> Claim {
    Claim::read(runner, &ask(runner, request).await)
}

/// A farm with two pending jobs.
async fn farm_with_two_jobs(backend: Backend) -> TestFarm {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    farm.build(&project).await;
    farm.build(&project).await;
    farm
}

async fn repeated_claim_returns_the_same_job_with_a_token_that_works(backend: Backend) {
    let farm = farm_with_two_jobs(backend).await;
    let runner = own_runner(&farm).await;
    let first = claim(&runner, FIRST).await;
    let again = claim(&runner, FIRST).await;
    assert_eq!((again.id, &again.token), (first.id, &first.token));
    assert_eq!(again.payload, first.payload);
    again.patch("0-5", "hello").await.is(202);
    again.succeed().await;
    assert_eq!(farm.trace(first.id).await, b"hello");
    let other = claim(&runner, SECOND).await;
    assert_ne!(other.id, first.id);
}

async fn repeated_claim_returns_the_same_job_after_a_restart(backend: Backend) {
    let mut farm = farm_with_two_jobs(backend).await;
    let mut runner = own_runner(&farm).await;
    let first = claim(&runner, FIRST).await;
    farm.restart().await;
    runner.api = RunnerApi::new(&farm);
    let again = claim(&runner, FIRST).await;
    assert_eq!((again.id, &again.token), (first.id, &first.token));
    again.patch("0-5", "hello").await.is(202);
}

async fn repeated_claim_with_a_current_queue_key_is_answered_at_once(backend: Backend) {
    let farm = TestFarm::start_with(backend, |config| {
        config.limits.poll_wait_s = std::time::Duration::from_secs(3600);
    })
    .await;
    let project = farm.project("acme/api").await;
    farm.build(&project).await;
    let runner = own_runner(&farm).await;
    let first = claim(&runner, FIRST).await;
    let key = ask(&runner, SECOND).await.no_job();
    let body = json!({
        "info": own_info(), "token": runner.token, "request_id": FIRST, "last_update": key,
    });
    let path = "/builds/register.json";
    let response = runner.api.json(Method::POST, path, &body).await;
    assert_eq!(Claim::read(&runner, &response).id, first.id);
    assert_eq!(farm.farm().parked_polls(), 0);
}

async fn repeated_claim_of_a_paused_runner_returns_its_job(backend: Backend) {
    let farm = farm_with_two_jobs(backend).await;
    let runner = own_runner(&farm).await;
    let first = claim(&runner, FIRST).await;
    farm.pause_runner(runner.id).await;
    assert_eq!(claim(&runner, FIRST).await.id, first.id);
    ask(&runner, SECOND).await.is(404);
}

async fn request_id_of_another_runner_claims_another_job(backend: Backend) {
    let farm = farm_with_two_jobs(backend).await;
    let (one, other) = (own_runner(&farm).await, own_runner(&farm).await);
    let first = claim(&one, FIRST).await;
    let second = claim(&other, FIRST).await;
    assert_ne!((second.id, &second.token), (first.id, &first.token));
    // A third runner finds no job, although two running ones have this request id.
    ask(&own_runner(&farm).await, FIRST).await.no_job();
    // Each still gets its own.
    assert_eq!(claim(&one, FIRST).await.id, first.id);
    assert_eq!(claim(&other, FIRST).await.id, second.id);
}

async fn request_id_of_a_job_that_has_ended_claims_the_next_job(backend: Backend) {
    let farm = farm_with_two_jobs(backend).await;
    let runner = own_runner(&farm).await;
    let first = claim(&runner, FIRST).await;
    farm.cancel(first.id).await;
    let next = claim(&runner, FIRST).await;
    assert_ne!((next.id, &next.token), (first.id, &first.token));
    assert_eq!(claim(&runner, FIRST).await.id, next.id);
    next.succeed().await;
    ask(&runner, FIRST).await.no_job();
}

async fn simultaneous_claims_with_one_request_id_get_one_job(backend: Backend) {
    let farm = farm_with_two_jobs(backend).await;
    let runner = own_runner(&farm).await;
    let same = Runner {
        api: RunnerApi::new(&farm),
        ..runner.clone()
    };
    let asked = [&runner, &same, &runner, &same].map(|runner| ask(runner, FIRST));
    let answers = futures_util::future::join_all(asked).await;
    let claims: Vec<Claim> = answers
        .iter()
        .map(|answer| Claim::read(&runner, answer))
        .collect();
    for claim in &claims {
        assert_eq!((claim.id, &claim.token), (claims[0].id, &claims[0].token));
    }
    let other = claim(&runner, SECOND).await;
    assert_ne!(other.id, claims[0].id);
}

async fn repeated_claim_renews_the_lease_for_two_minutes(backend: Backend) {
    let farm = farm_with_two_jobs(backend).await;
    let runner = own_runner(&farm).await;
    let first = claim(&runner, FIRST).await;
    for _ in 0..3 {
        farm.advance(LEASE_S - 1);
        assert_eq!(claim(&runner, FIRST).await.id, first.id);
        farm.expire_leases().await;
    }
    assert!(farm.job(first.id).await.state.is_running());
    // A runner that cannot read the answers does not keep the job.
    for _ in 0..10 {
        farm.advance(LEASE_S - 1);
        farm.expire_leases().await;
        ask(&runner, FIRST).await;
    }
    assert_eq!(
        farm.job(first.id).await.state,
        JobState::Done(Outcome::Failed(FailureReason::RunnerLost))
    );
}

async fn claims_without_a_request_id_get_different_jobs(backend: Backend) {
    let farm = farm_with_two_jobs(backend).await;
    let runner = own_runner(&farm).await;
    let (first, second) = (runner.claim().await, runner.claim().await);
    assert_ne!(first.id, second.id);
    // An empty id counts as none.
    ask(&runner, "").await.no_job();
}

async fn invalid_request_id_is_refused(backend: Backend) {
    let farm = farm_with_two_jobs(backend).await;
    let runner = own_runner(&farm).await;
    for request in ["7", "x", &"a".repeat(60_000)] {
        ask(&runner, request).await.is(400);
    }
    assert_eq!(farm.farm().parked_polls(), 0);
}

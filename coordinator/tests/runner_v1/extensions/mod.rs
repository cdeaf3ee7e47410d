//! Extensions of the protocol that slipway-runner uses.
//!
//! See `docs/protocols/runner-v1.md#extensions`.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

mod isolation;
mod packages;
mod uploads;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use slipway_domain::queue::PendingReason;
use slipway_domain::{FailureReason, JobState, Outcome, Phase};
use slipway_farm::{Content, Page, StartBlocker};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends, wait_until};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::client::{ApiResponse, Claim, RunnerApi};

on_both_back_ends!(
    cancel_answers_a_held_heartbeat_at_once,
    held_heartbeat_returns_200_after_its_wait,
    final_update_returns_416_until_the_trace_is_complete,
    final_update_discards_a_trace_that_differs_from_its_checksum,
    image_in_the_final_update_is_recorded_as_an_artifact,
    job_is_retried_after_a_runner_fault_but_not_after_its_own_failure,
    next_attempt_goes_back_to_the_same_runner_at_once_only_without_another_one,
    probe_with_a_reason_makes_the_runner_unready_until_its_next_poll,
);

/// Longer than any step of these tests takes.
const SOON: Duration = Duration::from_secs(4);

/// Sends a heartbeat that the coordinator may hold for `seconds`, and returns once it has arrived.
async fn send_held_heartbeat(
    farm: &TestFarm,
    claim: &Claim,
    seconds: u32,
) -> JoinHandle<ApiResponse> {
    let body = json!({"token": claim.runner.token, "state": "running", "phase": "pushing"});
    let (api, path) = (
        claim.runner.api.clone(),
        format!("/builds/{}.json", claim.id),
    );
    let heartbeat = tokio::spawn(async move {
        let request = api.request(Method::PUT, &path).json(&body);
        let request = request.header("Prefer", format!("wait={seconds}"));
        api.send(request).await
    });
    wait_until(SOON, "the phase is stored", async || {
        matches!(
            farm.job(claim.id).await.state,
            JobState::Running(_, Phase::Pushing)
        )
    })
    .await;
    heartbeat
}

async fn cancel_answers_a_held_heartbeat_at_once(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let heartbeat = send_held_heartbeat(&farm, &claim, 5).await;
    assert!(!heartbeat.is_finished());
    farm.cancel(claim.id).await;
    let response = timeout(SOON, heartbeat).await.expect("a response at once");
    response.unwrap().fails_with(404, "404 Not found");
}

async fn held_heartbeat_returns_200_after_its_wait(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let started = Instant::now();
    let heartbeat = send_held_heartbeat(&farm, &claim, 1).await;
    // A trace chunk of the job itself does not end the wait.
    claim.patch("0-5", "hello").await.is(202);
    let response = heartbeat.await.unwrap().is(200);
    assert_eq!(response.header("Build-Status"), Some("running"));
    assert!(started.elapsed() >= Duration::from_secs(1));
}

fn success_with_trace_sum(whole: &[u8]) -> Value {
    let sum = json!({"length": whole.len(), "crc32": crc32fast::hash(whole)});
    json!({"state": "success", "trace_sum": sum})
}

async fn final_update_returns_416_until_the_trace_is_complete(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let whole = b"hello world";
    let assert_incomplete = |response: ApiResponse, range: &str| {
        let response = response.fails_with(416, "416 Range Not Satisfiable");
        assert_eq!(response.header("Range"), Some(range));
    };
    assert_incomplete(claim.put(success_with_trace_sum(whole)).await, "0-0");
    claim.patch("0-5", "hello").await.is(202);
    assert_incomplete(claim.put(success_with_trace_sum(whole)).await, "0-5");
    let job = farm.job(claim.id).await;
    assert_eq!((job.state.name(), job.finished_at), ("running", None));
    claim.patch("5-11", " world").await.is(202);
    let response = claim.put(success_with_trace_sum(whole)).await.is(200);
    assert_eq!(response.header("Build-Status"), Some("success"));
    assert_eq!(farm.job(claim.id).await.state.name(), "succeeded");
    assert_eq!(farm.trace(claim.id).await, whole);
}

async fn final_update_discards_a_trace_that_differs_from_its_checksum(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for wrong in ["HELLO", "hello and more"] {
        let claim = Claim::of_new_build(&farm).await;
        claim
            .patch(&format!("0-{}", wrong.len()), wrong)
            .await
            .is(202);
        let response = claim.put(success_with_trace_sum(b"hello")).await.is(416);
        assert_eq!(response.header("Range"), Some("0-0"));
        claim.patch("0-5", "hello").await.is(202);
        claim.put(success_with_trace_sum(b"hello")).await.is(200);
        assert_eq!(farm.trace(claim.id).await, b"hello");
    }
}

async fn image_in_the_final_update_is_recorded_as_an_artifact(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.upload("", "a.zip", b"zip").await.is(201);
    let digest = format!("sha256:{}", "0f".repeat(32));
    let image = json!({
        "reference": "registry.test/acme/api:v1", "tags": ["v1", "latest"],
        "digest": digest, "size_bytes": 123_456_789_012_u64,
    });
    claim
        .put(json!({"state": "success", "image": image}))
        .await
        .is(200);
    let artifacts = farm.artifacts(claim.id).await;
    assert_eq!(artifacts.len(), 2, "archive and image: {artifacts:?}");
    let image = artifacts
        .iter()
        .find(|artifact| matches!(artifact.content, Content::Image { .. }))
        .unwrap();
    let content = Content::Image {
        details: Default::default(),
        reference: "registry.test/acme/api:v1".to_owned(),
        digest,
        tags: vec!["v1".to_owned(), "latest".to_owned()],
    };
    assert_eq!(
        (&image.content, image.size_bytes),
        (&content, 123_456_789_012)
    );
}

async fn job_is_retried_after_a_runner_fault_but_not_after_its_own_failure(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    for (reason, message, attempts) in [
        ("runner_fault", Some("the engine is unavailable"), 2),
        ("build_failed", Some("RUN make: exit status 2"), 1),
        ("an unknown reason", None, 1),
    ] {
        let api = RunnerApi::new(&farm);
        let build = farm.build(&project).await;
        let claim = api.register_runner(&farm).await.claim().await;
        let end = json!({
            "state": "failed", "failure_reason": reason, "failure_message": message
        });
        claim.put(end).await.is(200);
        let jobs = farm.jobs(&build).await;
        assert_eq!(jobs.len(), attempts, "{reason}");
        let expected = reason.parse().unwrap_or(FailureReason::JobFailed);
        assert_eq!(jobs[0].state, JobState::Done(Outcome::Failed(expected)));
        assert_eq!(jobs[0].failure_message.as_deref(), message);
        if let Some(next) = jobs.get(1) {
            assert_eq!((next.state.name(), next.attempt), ("pending", 2));
            farm.cancel(next.id).await;
        }
    }
}

async fn next_attempt_goes_back_to_the_same_runner_at_once_only_without_another_one(
    backend: Backend,
) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let fault = json!({"state": "failed", "failure_reason": "runner_fault"});
    farm.build(&project).await;
    let only = api.register_runner(&farm).await;
    only.claim().await.put(fault.clone()).await.is(200);
    let second = only.claim().await;
    assert_eq!(farm.job(second.id).await.attempt, 2);
    let other = api.register_runner(&farm).await;
    second.put(fault).await.is(200);
    only.expect_no_job().await;
    let third = other.claim().await;
    assert_eq!(farm.job(third.id).await.attempt, 3);
}

async fn probe_with_a_reason_makes_the_runner_unready_until_its_next_poll(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let why = "the Docker Engine is gone";
    let probe = json!({"token": runner.token, "info": {"name": "slipway-runner", "unready": why}});
    let probed = runner.api.json(Method::PUT, "/builds/-1", &probe).await;
    probed.is(404);
    let page = Page {
        before: None,
        limit: 1,
    };
    let unready = async || {
        let all = farm.farm().runners(&farm.admin().await, page).await;
        all.unwrap().remove(0).about.unready
    };
    assert_eq!(unready().await.as_deref(), Some(why));
    let build = farm.build(&project).await;
    let job = farm.jobs(&build).await.remove(0);
    let reason = farm.farm().pending_reason(&project, job.id).await.unwrap();
    let expected = PendingReason::NoneReady {
        runner: runner.id,
        why: why.to_owned(),
    };
    assert_eq!(reason, StartBlocker::Pending(expected));
    assert_eq!(runner.claim().await.id, job.id);
    assert_eq!(unready().await, None);
}

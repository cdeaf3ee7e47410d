//! Updates of a running job: keep-alives, complete traces and the final state.
//!
//! See `docs/protocols/runner-v1.md#job-updates`.

use reqwest::Method;
use serde_json::json;
use slipway_domain::JobId;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claim, RunnerApi};

on_both_back_ends!(
    running_update_changes_nothing,
    trace_in_an_update_replaces_the_stored_trace,
    final_update_is_accepted_once,
    update_by_another_runner_is_refused,
    update_with_unknown_state_changes_nothing,
    update_accepts_a_body_of_eight_mebibytes,
);

const NOT_RUNNING_HERE: &str = "404 Not found";

async fn running_update_changes_nothing(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.patch("0-5", "hello").await.is(202);
    let before = farm.job(claim.id).await;
    claim.put(json!({"state": "running"})).await.is(200);
    let after = farm.job(claim.id).await;
    assert_eq!(after.state.name(), "running");
    assert_eq!(
        (after.runner, after.started_at, after.finished_at),
        (before.runner, before.started_at, None)
    );
    assert_eq!(farm.trace(claim.id).await, b"hello");
}

async fn trace_in_an_update_replaces_the_stored_trace(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.put(json!({"trace": "abc"})).await.is(200);
    assert_eq!(farm.trace(claim.id).await, b"abc");
    // Each update carries the whole trace; nothing is appended.
    let longer = json!({"state": "running", "trace": "abcdef\u{fffd}"});
    claim.put(longer).await.is(200);
    assert_eq!(farm.trace(claim.id).await, "abcdef\u{fffd}".as_bytes());
    claim.put(json!({"trace": ""})).await.is(200);
    assert_eq!(farm.trace(claim.id).await, b"");
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
}

async fn final_update_is_accepted_once(backend: Backend) {
    for (reported, state) in [("success", "succeeded"), ("failed", "failed")] {
        let farm = TestFarm::start(backend).await;
        let claim = Claim::of_new_build(&farm).await;
        let body = json!({"token": claim.runner.token, "state": reported, "trace": "all"});
        let path = format!("/builds/{}", claim.id);
        let api = &claim.runner.api;
        api.json(Method::PUT, &path, &body).await.is(200);
        let job = farm.job(claim.id).await;
        assert_eq!(job.state.name(), state);
        assert!(job.finished_at.is_some());
        assert_eq!(farm.trace(claim.id).await, b"all");
        api.json(Method::PUT, &path, &body)
            .await
            .fails_with(404, NOT_RUNNING_HERE);
        let again = farm.job(claim.id).await;
        assert_eq!(
            (again.state, again.finished_at),
            (job.state, job.finished_at)
        );
    }
}

async fn update_by_another_runner_is_refused(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let other = RunnerApi::new(&farm).register_runner(&farm).await;
    let end = json!({"state": "success", "trace": "forged"});
    other
        .put(claim.id, end.clone())
        .await
        .fails_with(404, NOT_RUNNING_HERE);
    for token in ["nope", claim.token.as_str()] {
        let mut other = other.clone();
        other.token = token.to_owned();
        let response = other.put(claim.id, end.clone()).await;
        response.fails_with(403, "403 Forbidden");
    }
    // An unknown job gets the same response as a job of another runner.
    let unknown = other.put(JobId(987_654), end).await;
    unknown.fails_with(404, NOT_RUNNING_HERE);
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
    assert_eq!(farm.trace(claim.id).await, b"");
    claim.succeed().await;
}

async fn update_with_unknown_state_changes_nothing(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.patch("0-5", "hello").await.is(202);
    for state in [json!("bogus"), json!("pending"), json!(""), json!(null)] {
        claim.put(json!({"state": state})).await.is(200);
    }
    let job = farm.job(claim.id).await;
    assert_eq!((job.state.name(), job.finished_at), ("running", None));
    assert_eq!(farm.trace(claim.id).await, b"hello");
}

async fn update_accepts_a_body_of_eight_mebibytes(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let trace = "\u{1}".repeat((8 << 20) / 6 + 1);
    let body = json!({"token": claim.runner.token, "state": "success", "trace": trace}).to_string();
    assert!(body.len() >= 8 << 20, "{}", body.len());
    let path = format!("/builds/{}.json", claim.id);
    let api = &claim.runner.api;
    api.bytes(Method::PUT, &path, "application/json", body)
        .await
        .is(200);
    assert_eq!(farm.job(claim.id).await.state.name(), "succeeded");
    // `assert_eq!` would print both values, which are megabytes long.
    assert!(farm.trace(claim.id).await == trace.as_bytes());
}

//! Checks 29 to 35: reports on a job.

use reqwest::Method;
use serde_json::json;
use slipway_domain::JobId;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claim, RunnerApi};

on_both_back_ends!(
    check_29_a_beat_changes_nothing,
    check_30_a_trace_in_a_report_is_stored,
    check_31_the_end_is_taken_once,
    check_32_only_the_jobs_own_runner_reports_on_it,
    check_33_a_canceled_job_stays_canceled,
    check_34_an_unknown_state_changes_nothing,
    check_35_a_body_of_eight_mebibytes_of_escapes_is_taken,
);

const NOT_YOURS: &str = "404 Not found";

async fn check_29_a_beat_changes_nothing(backend: Backend) {
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

async fn check_30_a_trace_in_a_report_is_stored(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.put(json!({"trace": "abc"})).await.is(200);
    assert_eq!(farm.trace(claim.id).await, b"abc");
    // It is the whole trace each time, and not added to what is there.
    let longer = json!({"state": "running", "trace": "abcdef\u{fffd}"});
    claim.put(longer).await.is(200);
    assert_eq!(farm.trace(claim.id).await, "abcdef\u{fffd}".as_bytes());
    claim.put(json!({"trace": ""})).await.is(200);
    assert_eq!(farm.trace(claim.id).await, b"");
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
}

async fn check_31_the_end_is_taken_once(backend: Backend) {
    for (word, state) in [("success", "succeeded"), ("failed", "failed")] {
        let farm = TestFarm::start(backend).await;
        let claim = Claim::of_new_build(&farm).await;
        let body = json!({"token": claim.runner.token, "state": word, "trace": "all"});
        let path = format!("/builds/{}", claim.id);
        let api = &claim.runner.api;
        api.json(Method::PUT, &path, &body).await.is(200);
        let job = farm.job(claim.id).await;
        assert_eq!(job.state.name(), state);
        assert!(job.finished_at.is_some());
        assert_eq!(farm.trace(claim.id).await, b"all");
        api.json(Method::PUT, &path, &body)
            .await
            .is_error(404, NOT_YOURS);
        let again = farm.job(claim.id).await;
        assert_eq!(
            (again.state, again.finished_at),
            (job.state, job.finished_at)
        );
    }
}

async fn check_32_only_the_jobs_own_runner_reports_on_it(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let other = RunnerApi::new(&farm).register_runner(&farm).await;
    let end = json!({"state": "success", "trace": "forged"});
    other
        .put(claim.id, end.clone())
        .await
        .is_error(404, NOT_YOURS);
    for token in ["nope", claim.token.as_str()] {
        let mut stranger = other.clone();
        stranger.token = token.to_owned();
        let answer = stranger.put(claim.id, end.clone()).await;
        answer.is_error(403, "403 Forbidden");
    }
    // A job that never was is not this runner's either.
    let nowhere = other.put(JobId(987_654), end).await;
    nowhere.is_error(404, NOT_YOURS);
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
    assert_eq!(farm.trace(claim.id).await, b"");
    claim.succeed().await;
}

async fn check_33_a_canceled_job_stays_canceled(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    farm.cancel(claim.id).await;
    let before = farm.job(claim.id).await;
    assert_eq!(before.state.name(), "canceled");
    let end = json!({"state": "failed", "trace": "too late"});
    claim.put(end).await.is_error(404, NOT_YOURS);
    let after = farm.job(claim.id).await;
    assert_eq!(
        (after.state, after.finished_at),
        (before.state, before.finished_at)
    );
    assert_eq!(farm.trace(claim.id).await, b"");
}

async fn check_34_an_unknown_state_changes_nothing(backend: Backend) {
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

async fn check_35_a_body_of_eight_mebibytes_of_escapes_is_taken(backend: Backend) {
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
    // Not `assert_eq`, which would show both.
    assert!(farm.trace(claim.id).await == trace.as_bytes());
}

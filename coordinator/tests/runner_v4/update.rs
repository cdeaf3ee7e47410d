//! Updates of a running job and its final state.
//!
//! See `docs/protocols/runner-v4.md#job-updates`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_domain::{FailureReason, JobState, Outcome};
use slipway_farm::JobDetails;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::Claim;

on_both_back_ends!(
    running_update_is_accepted_right_after_the_claim,
    success_update_finishes_the_job,
    failed_update_stores_the_reason_and_the_exit_code,
    unknown_failure_reason_is_stored_as_unknown_failure,
    update_with_an_invalid_state_is_a_bad_request,
    update_accepts_the_token_in_the_header_only,
    update_with_the_runner_token_is_forbidden,
    final_update_may_be_repeated_but_not_changed,
    trace_that_differs_from_its_checksum_is_marked_incomplete,
    job_is_retried_after_a_runner_system_failure,
);

/// Details of the job that not every job has.
async fn job_details(farm: &TestFarm, claim: &Claim) -> JobDetails {
    let build = farm.job(claim.id).await.build;
    let shown = farm.farm().detailed_build(build).await.unwrap();
    let job = shown
        .jobs
        .into_iter()
        .find(|shown| shown.job.id == claim.id);
    job.unwrap().details
}

fn failed(reason: FailureReason) -> JobState {
    JobState::Done(Outcome::Failed(reason))
}

async fn running_update_is_accepted_right_after_the_claim(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let body = json!({"state": "running", "output": {}});
    let response = claim.put(body).await.has_job_status(200, "running");
    assert_eq!(response.header("x-gitlab-trace-update-interval"), Some("3"));
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
}

/// A final update with the checksum and the length of these trace bytes.
fn success_with_checksum(trace: &[u8]) -> Value {
    let checksum = format!("crc32:{:08x}", crc32fast::hash(trace));
    json!({
        "state": "success", "checksum": checksum,
        "output": {"checksum": checksum, "bytesize": trace.len()},
    })
}

async fn success_update_finishes_the_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.patch("0-14", "helloworldagain").await.is(202);
    let response = claim.put(success_with_checksum(b"helloworldagain")).await;
    response.has_job_status(200, "success");
    let state = farm.job(claim.id).await.state;
    assert_eq!(state, JobState::Done(Outcome::Succeeded));
    assert!(!job_details(&farm, &claim).await.trace_incomplete);
    // A finished job accepts no more chunks.
    claim
        .patch("15-15", "!")
        .await
        .has_job_status(403, "success");
}

async fn failed_update_stores_the_reason_and_the_exit_code(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let body = json!({"state": "failed", "failure_reason": "script_failure", "exit_code": 2});
    claim.put(body).await.has_job_status(200, "failed");
    let state = farm.job(claim.id).await.state;
    assert_eq!(state, failed(FailureReason::JobFailed));
    assert_eq!(job_details(&farm, &claim).await.exit_code, Some(2));
    assert_eq!(native_job(&farm, &claim).await["exit_code"], 2);
}

async fn unknown_failure_reason_is_stored_as_unknown_failure(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let body = json!({"state": "failed", "failure_reason": "no_such_reason"});
    claim.put(body).await.is(200);
    let state = farm.job(claim.id).await.state;
    assert_eq!(state, failed(FailureReason::Unknown));
    assert_eq!(FailureReason::Unknown.as_str(), "unknown_failure");
}

async fn update_with_an_invalid_state_is_a_bad_request(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    for state in [json!("pending"), json!("canceled"), json!(""), json!(null)] {
        claim.put(json!({ "state": state })).await.is(400);
    }
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
}

async fn update_accepts_the_token_in_the_header_only(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let body = json!({"state": "success"});
    let response = claim.put_exactly(&body).await.is(400);
    assert_eq!(response.json(), json!({"error": "token is missing"}));
    claim
        .with_token("nope")
        .put(body.clone())
        .await
        .fails_as_forbidden();
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
    let request = claim.request(Method::PUT, "").json(&body);
    claim.runner.api.send(request).await.is(200);
    assert_eq!(farm.job(claim.id).await.state.name(), "succeeded");
}

async fn update_with_the_runner_token_is_forbidden(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let other = claim.with_token(&claim.runner.token);
    other
        .put(json!({"state": "success"}))
        .await
        .fails_as_forbidden();
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
}

async fn final_update_may_be_repeated_but_not_changed(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.put(success_with_checksum(b"")).await.is(200);
    claim
        .put(success_with_checksum(b""))
        .await
        .has_job_status(200, "success");
    let failure = json!({"state": "failed", "failure_reason": "script_failure"});
    claim
        .put(failure)
        .await
        .fails_as_forbidden()
        .has_job_status(403, "success");
    let running = json!({"state": "running"});
    claim.put(running).await.has_job_status(403, "success");
    assert_eq!(farm.job(claim.id).await.state.name(), "succeeded");
}

async fn trace_that_differs_from_its_checksum_is_marked_incomplete(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for output in [
        json!({"bytesize": 15}),
        json!({"checksum": "crc32:00000001"}),
    ] {
        let claim = Claim::of_new_build(&farm).await;
        claim.patch("0-4", "hello").await.is(202);
        let body = json!({"state": "success", "output": output});
        claim.put(body).await.has_job_status(200, "success");
        assert_eq!(
            native_job(&farm, &claim).await["trace_incomplete"],
            true,
            "{output}"
        );
    }
    let claim = Claim::of_new_build(&farm).await;
    claim.patch("0-4", "hello").await.is(202);
    claim.put(success_with_checksum(b"hello")).await.is(200);
    assert_eq!(native_job(&farm, &claim).await["trace_incomplete"], false);
}

/// The job as the native API returns it.
async fn native_job(farm: &TestFarm, claim: &Claim) -> Value {
    let request = farm.http.get(farm.url(&format!("/v1/jobs/{}", claim.id)));
    let response = request.bearer_auth(&farm.admin_token).send().await.unwrap();
    response.json().await.unwrap()
}

async fn job_is_retried_after_a_runner_system_failure(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let body = json!({"state": "failed", "failure_reason": "runner_system_failure"});
    claim.put(body).await.is(200);
    let again = claim.runner.api.register_runner(&farm).await.claim().await;
    assert_ne!(again.id, claim.id);
}

//! Checks 24 and 35 to 42: reports on a job.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_domain::{FailureReason, JobState, Outcome};
use slipway_farm::JobDetails;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::Claim;

on_both_back_ends!(
    check_24_a_job_may_be_said_to_run_at_once,
    check_35_a_job_succeeds,
    check_36_a_job_fails_for_a_reason_and_with_a_code,
    check_37_a_reason_that_nobody_knows_is_taken,
    check_38_states_that_no_runner_tells_change_nothing,
    check_39_the_token_may_be_in_the_header_alone,
    check_40_the_token_of_the_runner_is_not_the_jobs,
    check_41_an_end_may_be_told_again_and_not_another,
    check_42_a_trace_that_is_not_whole_is_marked,
    a_fault_of_the_runner_is_tried_again,
);

/// What is known of the job besides what is known of all.
async fn details(farm: &TestFarm, claim: &Claim) -> JobDetails {
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

async fn check_24_a_job_may_be_said_to_run_at_once(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let body = json!({"state": "running", "output": {}});
    let answer = claim.put(body).await.is_with_job_status(200, "running");
    assert_eq!(answer.header("x-gitlab-trace-update-interval"), Some("3"));
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
}

/// A report of success on a trace of these bytes.
fn success(trace: &[u8]) -> Value {
    let checksum = format!("crc32:{:08x}", crc32fast::hash(trace));
    json!({
        "state": "success", "checksum": checksum,
        "output": {"checksum": checksum, "bytesize": trace.len()},
    })
}

async fn check_35_a_job_succeeds(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.patch("0-14", "helloworldagain").await.is(202);
    let answer = claim.put(success(b"helloworldagain")).await;
    answer.is_with_job_status(200, "success");
    let state = farm.job(claim.id).await.state;
    assert_eq!(state, JobState::Done(Outcome::Succeeded));
    assert!(!details(&farm, &claim).await.trace_incomplete);
    // It is over: nothing more comes in.
    claim
        .patch("15-15", "!")
        .await
        .is_with_job_status(403, "success");
}

async fn check_36_a_job_fails_for_a_reason_and_with_a_code(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let body = json!({"state": "failed", "failure_reason": "script_failure", "exit_code": 2});
    claim.put(body).await.is_with_job_status(200, "failed");
    let state = farm.job(claim.id).await.state;
    assert_eq!(state, failed(FailureReason::JobFailed));
    assert_eq!(details(&farm, &claim).await.exit_code, Some(2));
}

async fn check_37_a_reason_that_nobody_knows_is_taken(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let body = json!({"state": "failed", "failure_reason": "the_moon"});
    claim.put(body).await.is(200);
    let state = farm.job(claim.id).await.state;
    assert_eq!(state, failed(FailureReason::Unknown));
    assert_eq!(FailureReason::Unknown.as_str(), "unknown_failure");
}

async fn check_38_states_that_no_runner_tells_change_nothing(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    for state in [json!("pending"), json!("canceled"), json!(""), json!(null)] {
        claim.put(json!({ "state": state })).await.is(400);
    }
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
}

async fn check_39_the_token_may_be_in_the_header_alone(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let body = json!({"state": "success"});
    let answer = claim.put_exactly(&body).await.is(400);
    assert_eq!(answer.json(), json!({"error": "token is missing"}));
    claim
        .with_token("nope")
        .put(body.clone())
        .await
        .is_forbidden();
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
    let request = claim.request(Method::PUT, "").json(&body);
    claim.runner.api.send(request).await.is(200);
    assert_eq!(farm.job(claim.id).await.state.name(), "succeeded");
}

async fn check_40_the_token_of_the_runner_is_not_the_jobs(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let stranger = claim.with_token(&claim.runner.token);
    stranger
        .put(json!({"state": "success"}))
        .await
        .is_forbidden();
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
}

async fn check_41_an_end_may_be_told_again_and_not_another(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.put(success(b"")).await.is(200);
    claim
        .put(success(b""))
        .await
        .is_with_job_status(200, "success");
    let failure = json!({"state": "failed", "failure_reason": "script_failure"});
    claim
        .put(failure)
        .await
        .is_forbidden()
        .is_with_job_status(403, "success");
    let beat = json!({"state": "running"});
    claim.put(beat).await.is_with_job_status(403, "success");
    assert_eq!(farm.job(claim.id).await.state.name(), "succeeded");
}

async fn check_42_a_trace_that_is_not_whole_is_marked(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for said in [
        json!({"bytesize": 15}),
        json!({"checksum": "crc32:00000001"}),
    ] {
        let claim = Claim::of_new_build(&farm).await;
        claim.patch("0-4", "hello").await.is(202);
        let body = json!({"state": "success", "output": said});
        claim.put(body).await.is_with_job_status(200, "success");
        assert_eq!(
            shown(&farm, &claim).await["trace_incomplete"],
            true,
            "{said}"
        );
    }
    let claim = Claim::of_new_build(&farm).await;
    claim.patch("0-4", "hello").await.is(202);
    claim.put(success(b"hello")).await.is(200);
    assert_eq!(shown(&farm, &claim).await["trace_incomplete"], false);
}

/// The job as the native API shows it.
async fn shown(farm: &TestFarm, claim: &Claim) -> serde_json::Value {
    let request = farm.http.get(farm.url(&format!("/v1/jobs/{}", claim.id)));
    let answer = request.bearer_auth(&farm.admin_token).send().await.unwrap();
    answer.json().await.unwrap()
}

async fn a_fault_of_the_runner_is_tried_again(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let body = json!({"state": "failed", "failure_reason": "runner_system_failure"});
    claim.put(body).await.is(200);
    let again = claim.runner.api.register_runner(&farm).await.claim().await;
    assert_ne!(again.id, claim.id);
}

//! Checks 50 to 52: jobs that are called off, and those that nobody does.

use serde_json::json;
use slipway_domain::{JobState, Outcome};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claim, RunnerApi};

on_both_back_ends!(
    check_50_a_runner_that_knows_how_ends_a_canceled_job_in_its_own_way,
    check_51_any_other_runner_is_told_to_stop,
    check_52_a_job_that_its_runner_never_speaks_of_is_given_to_another,
    a_runner_that_falls_silent_while_it_ends_a_job_is_not_waited_for,
);

const CANCELED: JobState = JobState::Done(Outcome::Canceled);
/// A little more than a lease of a stock runner, in seconds.
const A_LEASE: i64 = 91;

async fn graceful(farm: &TestFarm) -> Claim {
    let project = farm.project("acme/api").await;
    farm.build(&project).await;
    let runner = RunnerApi::new(farm)
        .register_runner(farm)
        .await
        .cancels_gracefully();
    runner.claim().await
}

async fn check_50_a_runner_that_knows_how_ends_a_canceled_job_in_its_own_way(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for end in ["success", "failed"] {
        let claim = graceful(&farm).await;
        claim
            .patch("0-4", "hello")
            .await
            .is_with_job_status(202, "running");
        farm.cancel(claim.id).await;
        // To everybody else it is canceled already.
        assert_eq!(farm.job(claim.id).await.state, CANCELED);
        claim
            .patch("5-9", "after")
            .await
            .is_with_job_status(202, "canceling");
        claim
            .put(json!({"state": "running"}))
            .await
            .is_with_job_status(200, "canceling");
        claim.upload("", "artifacts.zip", b"PK").await.is(201);
        claim
            .patch("10-10", "!")
            .await
            .is_with_job_status(202, "canceling");
        claim
            .put(json!({ "state": end }))
            .await
            .is_with_job_status(200, "canceled");
        assert_eq!(farm.job(claim.id).await.state, CANCELED);
        assert_eq!(farm.trace(claim.id).await, b"helloafter!");
        assert_eq!(farm.artifacts(claim.id).await.len(), 1);
        // That was the end of it.
        claim
            .patch("11-11", "?")
            .await
            .is_with_job_status(403, "canceled");
        claim
            .put(json!({ "state": end }))
            .await
            .is_with_job_status(403, "canceled");
    }
}

async fn check_51_any_other_runner_is_told_to_stop(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.patch("0-4", "hello").await.is(202);
    farm.cancel(claim.id).await;
    claim
        .patch("5-9", "after")
        .await
        .is_with_job_status(403, "canceled");
    claim
        .put(json!({"state": "running"}))
        .await
        .is_with_job_status(403, "canceled");
    claim
        .upload("", "artifacts.zip", b"PK")
        .await
        .is_forbidden();
    claim
        .put(json!({"state": "failed"}))
        .await
        .is_with_job_status(403, "canceled");
    assert_eq!(farm.job(claim.id).await.state, CANCELED);
    assert_eq!(farm.trace(claim.id).await, b"hello");
}

async fn check_52_a_job_that_its_runner_never_speaks_of_is_given_to_another(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let other = claim.runner.api.register_runner(&farm).await;
    farm.advance(A_LEASE);
    farm.expire_leases().await;
    let again = other.claim().await;
    assert_ne!(again.token, claim.token);
    claim
        .patch("0-4", "hello")
        .await
        .is_with_job_status(403, "failed");
    for state in ["running", "success", "failed"] {
        claim
            .put(json!({ "state": state }))
            .await
            .is_with_job_status(403, "failed");
    }
    again
        .patch("0-4", "hello")
        .await
        .is_with_job_status(202, "running");
}

async fn a_runner_that_falls_silent_while_it_ends_a_job_is_not_waited_for(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = graceful(&farm).await;
    farm.cancel(claim.id).await;
    // Each sign of life gives it time for the next.
    for at in 0..3 {
        farm.advance(A_LEASE - 40);
        let range = format!("{at}-{at}");
        claim
            .patch(&range, ".")
            .await
            .is_with_job_status(202, "canceling");
    }
    farm.advance(A_LEASE);
    claim
        .patch("3-3", ".")
        .await
        .is_with_job_status(403, "canceled");
    claim
        .put(json!({"state": "success"}))
        .await
        .is_with_job_status(403, "canceled");
    assert_eq!(farm.trace(claim.id).await, b"...");
}

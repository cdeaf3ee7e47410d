//! Cancellation, with and without `cancel_gracefully`.
//!
//! See `docs/protocols/runner-v4.md#cancellation`.

use serde_json::json;
use slipway_domain::{JobState, Outcome};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claim, RunnerApi};

on_both_back_ends!(
    graceful_runner_finishes_a_canceled_job,
    other_runners_get_403_for_a_canceled_job,
    graceful_cancel_ends_when_the_lease_expires,
);

const CANCELED: JobState = JobState::Done(Outcome::Canceled);

/// A little more than a lease of a stock runner, in seconds.
const MORE_THAN_A_LEASE_S: i64 = 91;

/// Claims a job with a runner that announces `cancel_gracefully`.
async fn claim_gracefully(farm: &TestFarm) -> Claim {
    let project = farm.project("acme/api").await;
    farm.build(&project).await;
    let runner = RunnerApi::new(farm)
        .register_runner(farm)
        .await
        .cancels_gracefully();
    runner.claim().await
}

async fn graceful_runner_finishes_a_canceled_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for state in ["success", "failed"] {
        let claim = claim_gracefully(&farm).await;
        claim
            .patch("0-4", "hello")
            .await
            .has_job_status(202, "running");
        farm.cancel(claim.id).await;
        // For everyone but the runner, the job is canceled at once.
        assert_eq!(farm.job(claim.id).await.state, CANCELED);
        claim
            .patch("5-9", "after")
            .await
            .has_job_status(202, "canceling");
        claim
            .put(json!({"state": "running"}))
            .await
            .has_job_status(200, "canceling");
        claim.upload("", "artifacts.zip", b"PK").await.is(201);
        claim
            .patch("10-10", "!")
            .await
            .has_job_status(202, "canceling");
        claim
            .put(json!({ "state": state }))
            .await
            .has_job_status(200, "canceled");
        assert_eq!(farm.job(claim.id).await.state, CANCELED);
        assert_eq!(farm.trace(claim.id).await, b"helloafter!");
        assert_eq!(farm.artifacts(claim.id).await.len(), 1);
        // After the final update the job accepts nothing more.
        claim
            .patch("11-11", "?")
            .await
            .has_job_status(403, "canceled");
        claim
            .put(json!({ "state": state }))
            .await
            .has_job_status(403, "canceled");
    }
}

async fn other_runners_get_403_for_a_canceled_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.patch("0-4", "hello").await.is(202);
    farm.cancel(claim.id).await;
    claim
        .patch("5-9", "after")
        .await
        .has_job_status(403, "canceled");
    claim
        .put(json!({"state": "running"}))
        .await
        .has_job_status(403, "canceled");
    claim
        .upload("", "artifacts.zip", b"PK")
        .await
        .fails_as_forbidden();
    claim
        .put(json!({"state": "failed"}))
        .await
        .has_job_status(403, "canceled");
    assert_eq!(farm.job(claim.id).await.state, CANCELED);
    assert_eq!(farm.trace(claim.id).await, b"hello");
}

async fn graceful_cancel_ends_when_the_lease_expires(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = claim_gracefully(&farm).await;
    farm.cancel(claim.id).await;
    // Each chunk renews the lease.
    for at in 0..3 {
        farm.advance(MORE_THAN_A_LEASE_S - 40);
        let range = format!("{at}-{at}");
        claim
            .patch(&range, ".")
            .await
            .has_job_status(202, "canceling");
    }
    farm.advance(MORE_THAN_A_LEASE_S);
    claim
        .patch("3-3", ".")
        .await
        .has_job_status(403, "canceled");
    claim
        .put(json!({"state": "success"}))
        .await
        .has_job_status(403, "canceled");
    assert_eq!(farm.trace(claim.id).await, b"...");
}

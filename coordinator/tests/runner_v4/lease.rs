//! Jobs whose runner stays silent or is deleted.
//!
//! See `docs/protocols/runner-v4.md#leases`.

use reqwest::Method;
use serde_json::json;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::Claim;

on_both_back_ends!(
    job_without_updates_is_lost_and_retried,
    jobs_of_a_deleted_runner_are_retried_at_once,
);

/// A little more than a lease of a stock runner, in seconds.
const MORE_THAN_A_LEASE_S: i64 = 91;

async fn job_without_updates_is_lost_and_retried(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let other = claim.runner.api.register_runner(&farm).await;
    farm.advance(MORE_THAN_A_LEASE_S);
    farm.expire_leases().await;
    let again = other.claim().await;
    assert_ne!(again.token, claim.token);
    claim
        .patch("0-4", "hello")
        .await
        .has_job_status(403, "failed");
    for state in ["running", "success", "failed"] {
        claim
            .put(json!({ "state": state }))
            .await
            .has_job_status(403, "failed");
    }
    again
        .patch("0-4", "hello")
        .await
        .has_job_status(202, "running");
}

async fn jobs_of_a_deleted_runner_are_retried_at_once(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let other = claim.runner.api.register_runner(&farm).await;
    let body = json!({"token": claim.runner.token});
    let api = &claim.runner.api;
    api.json(Method::DELETE, "/runners", &body).await.is(204);
    farm.expire_leases().await;
    let again = other.claim().await;
    assert_ne!((again.id, &again.token), (claim.id, &claim.token));
    claim
        .patch("0-4", "hello")
        .await
        .has_job_status(403, "failed");
}

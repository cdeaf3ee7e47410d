//! Canceling builds.
//!
//! See `docs/protocols/quay.md#canceling-builds`.

use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{BUILDS, PUBLIC_BUILDS, SOURCE_URL};
use crate::client::Claim;
use crate::fixture::{Fixture, report_phase};

on_both_back_ends!(
    waiting_build_is_canceled,
    running_build_is_canceled_until_it_pushes,
    pushing_or_finished_build_cannot_be_canceled,
    lost_build_cannot_be_canceled,
    second_cancel_returns_400,
    cancel_of_an_unknown_build_returns_404,
    cancel_adds_no_log_entry,
);

const NOT_CANCELABLE: &str = "Build is currently running or has finished";

/// Quay itself returns 201 with the text `Okay`.
async fn waiting_build_is_canceled(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.create_build().await;
    let response = fixture.admin.delete(&format!("{BUILDS}{id}")).await.is(204);
    assert!(response.body.is_empty());
    assert_eq!(fixture.phase(&id).await, "cancelled");
    // `slipway-runner` gets 404 if there is no job.
    fixture.register_runner().await.poll().await.is(404);
}

/// Cancels a running build, and asserts that later reports of its runner change nothing.
async fn cancel_running_build(fixture: &Fixture, id: &str, claim: &Claim) {
    fixture.admin.delete(&format!("{BUILDS}{id}")).await.is(204);
    assert_eq!(fixture.phase(id).await, "cancelled");
    let late = report_phase(claim, "pushing").await;
    assert_eq!(late.status, 404, "{late:?}");
    claim.put(json!({"state": "success"})).await;
    assert_eq!(fixture.phase(id).await, "cancelled");
}

async fn running_build_is_canceled_until_it_pushes(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = fixture.claimed_build().await;
    assert_eq!(fixture.phase(&id).await, "build-scheduled");
    cancel_running_build(&fixture, &id, &claim).await;
    for (runner_phase, phase) in [
        ("fetching", "unpacking"),
        ("pulling", "pulling"),
        ("building", "building"),
    ] {
        let (id, claim) = fixture.build_in_phase(runner_phase).await;
        assert_eq!(fixture.phase(&id).await, phase);
        cancel_running_build(&fixture, &id, &claim).await;
    }
}

/// Asserts that a build in `phase` cannot be canceled and does not change.
async fn assert_not_cancelable(fixture: &Fixture, id: &str, phase: &str) {
    assert_eq!(fixture.phase(id).await, phase);
    let response = fixture.admin.delete(&format!("{BUILDS}{id}")).await;
    response.fails_with_detail(400, "invalid_request", NOT_CANCELABLE);
    assert_eq!(fixture.phase(id).await, phase);
}

async fn pushing_or_finished_build_cannot_be_canceled(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = fixture.build_in_phase("pushing").await;
    assert_not_cancelable(&fixture, &id, "pushing").await;
    claim.succeed().await;
    assert_not_cancelable(&fixture, &id, "complete").await;
    let (id, _) = fixture.finished_build("failed").await;
    assert_not_cancelable(&fixture, &id, "error").await;
}

async fn lost_build_cannot_be_canceled(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, _claim) = fixture.build_in_phase("building").await;
    fixture.farm.advance(3600);
    assert_eq!(fixture.farm.expire_leases().await, 1);
    assert_not_cancelable(&fixture, &id, "internalerror").await;
    // The retry still happens.
    let again = fixture.register_runner().await.claim().await;
    assert_eq!(fixture.phase(&id).await, "build-scheduled");
    again.succeed().await;
    assert_eq!(fixture.phase(&id).await, "complete");
}

async fn second_cancel_returns_400(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.create_build().await;
    fixture.admin.delete(&format!("{BUILDS}{id}")).await.is(204);
    assert_not_cancelable(&fixture, &id, "cancelled").await;
}

async fn cancel_of_an_unknown_build_returns_404(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let response = fixture.admin.delete(&format!("{BUILDS}nothing")).await;
    response.fails_with_problem(404, "not_found");
    let id = fixture.create_build().await;
    let other = format!("{PUBLIC_BUILDS}{id}");
    fixture
        .admin
        .delete(&other)
        .await
        .fails_with_problem(404, "not_found");
    assert_eq!(fixture.phase(&id).await, "waiting");
    let body = json!({ "archive_url": SOURCE_URL });
    let builds_of_bob = "/api/v1/repository/bob/x/build/";
    let hidden = fixture.bob.post(builds_of_bob, &body).await.is(201).json();
    let path = format!("{BUILDS}{}", hidden["id"].as_str().unwrap());
    fixture
        .admin
        .delete(&path)
        .await
        .fails_with_problem(404, "not_found");
}

async fn cancel_adds_no_log_entry(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = fixture.build_in_phase("building").await;
    claim.patch("0-7", "Step 1\n").await.is(202);
    fixture.admin.delete(&format!("{BUILDS}{id}")).await.is(204);
    let log = fixture.complete_log(&id).await;
    let messages: Vec<&str> = log
        .iter()
        .map(|entry| entry["message"].as_str().unwrap())
        .collect();
    assert_eq!(messages, ["build-scheduled", "building", "Step 1\n"]);
}

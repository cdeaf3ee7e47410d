//! Cancellation of builds.
//!
//! See `docs/protocols/harmont.md#cancel-a-build`.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{ApiResponse, BUILDS, Fixture, independent_steps, two_steps};

on_both_back_ends!(
    build_that_has_not_started_is_canceled_at_once,
    running_build_is_canceling_until_its_runner_confirms,
    canceling_ends_with_the_lease_of_a_silent_runner,
    canceling_a_finished_build_returns_it_unchanged,
    canceling_an_unknown_or_invisible_build_returns_404,
    body_of_a_cancellation_is_ignored,
    cancellation_overrides_an_earlier_failure,
);

async fn cancel(fixture: &Fixture, number: i64) -> Value {
    let path = format!("{BUILDS}/{number}/cancel");
    fixture
        .member
        .send_empty(Method::PUT, &path)
        .await
        .is(200)
        .json()
}

async fn build_that_has_not_started_is_canceled_at_once(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let number = fixture.create_build(&two_steps()).await;
    let build = cancel(&fixture, number).await;
    assert_eq!(build["state"], "canceled");
    assert!(build["finished_at"].is_string());
    assert_eq!(fixture.job_states(number).await, ["canceled", "canceled"]);
}

async fn running_build_is_canceling_until_its_runner_confirms(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    for end in ["success", "failed"] {
        let number = fixture.create_build(&two_steps()).await;
        let claim = fixture.register_runner().await.start_job().await;
        let build = cancel(&fixture, number).await;
        assert_eq!(
            (&build["state"], &build["finished_at"]),
            (&json!("canceling"), &json!(null))
        );
        assert_eq!(fixture.job_states(number).await, ["canceling", "canceled"]);
        assert_eq!(cancel(&fixture, number).await, build);
        // The 404 stops the runner. Its final update confirms the cancellation.
        claim.put(json!({"state": "running"})).await.is(404);
        assert_eq!(fixture.read_build(number).await["state"], "canceling");
        claim.put(json!({"state": end})).await.is(404);
        let build = fixture.read_build(number).await;
        assert_eq!(build["state"], "canceled");
        assert!(build["finished_at"].is_string());
        assert_eq!(fixture.job_states(number).await, ["canceled", "canceled"]);
        assert_eq!(cancel(&fixture, number).await, build);
    }
}

async fn canceling_ends_with_the_lease_of_a_silent_runner(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let number = fixture.create_build(&independent_steps(&["a"])).await;
    fixture.register_runner().await.start_job().await;
    assert_eq!(cancel(&fixture, number).await["state"], "canceling");
    fixture.farm.advance(15);
    assert_eq!(fixture.read_build(number).await["state"], "canceled");
}

async fn canceling_a_finished_build_returns_it_unchanged(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    for end in ["success", "failed"] {
        let number = fixture.create_build(&independent_steps(&["a"])).await;
        let claim = fixture.register_runner().await.start_job().await;
        claim.put(json!({"state": end})).await.is(200);
        let before = fixture.read_build(number).await;
        fixture.farm.advance(5);
        assert_eq!(cancel(&fixture, number).await, before);
        assert_eq!(fixture.read_build(number).await, before);
    }
}

async fn canceling_an_unknown_or_invisible_build_returns_404(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let number = fixture.create_build(&two_steps()).await;
    let response = fixture
        .member
        .send_empty(Method::PUT, &format!("{BUILDS}/9999/cancel"))
        .await;
    response.fails_with_code(404, "not_found", "build_not_found");
    let path = format!("{BUILDS}/{number}/cancel");
    let response = fixture.outsider.send_empty(Method::PUT, &path).await;
    response.fails_with_code(404, "not_found", "organization_not_found");
    assert_eq!(fixture.read_build(number).await["state"], "scheduled");
}

async fn body_of_a_cancellation_is_ignored(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    for (kind, body) in [
        (None, None),
        (Some("application/json"), Some("")),
        (Some("application/json"), Some("{\"a\":1}")),
        (Some("application/json"), Some("{")),
        (Some("text/plain"), Some("stop")),
    ] {
        let number = fixture.create_build(&two_steps()).await;
        let mut request = fixture
            .member
            .request(Method::PUT, &format!("{BUILDS}/{number}/cancel"));
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        assert_eq!(
            ApiResponse::to(request).await.is(200).json()["state"],
            "canceled"
        );
    }
}

async fn cancellation_overrides_an_earlier_failure(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let number = fixture.create_build(&independent_steps(&["a", "b"])).await;
    let claim = fixture.register_runner().await.start_job().await;
    claim.put(json!({"state": "failed"})).await.is(200);
    assert_eq!(fixture.read_build(number).await["state"], "failing");
    assert_eq!(cancel(&fixture, number).await["state"], "canceled");
    assert_eq!(fixture.job_states(number).await, ["failed", "canceled"]);
}

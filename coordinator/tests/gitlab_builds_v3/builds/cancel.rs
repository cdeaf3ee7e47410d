//! Canceling builds.
//!
//! See `docs/protocols/gitlab-builds-v3.md#cancel`.

use serde_json::Value;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::build_path;
use crate::fixture::Fixture;

on_both_back_ends!(
    developers_cancel_a_pending_build,
    runner_of_a_canceled_build_gets_its_status,
    cancel_of_a_finished_build_changes_nothing,
    cancel_needs_no_body_and_no_content_type,
);

async fn developers_cancel_a_pending_build(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.pending_build().await;
    for client in [&fixture.guest, &fixture.reporter] {
        let response = client.post(&build_path(id, "/cancel")).await;
        response.fails_with(403, "403 Forbidden");
    }
    let build = fixture.post_action(id, "/cancel", 201).await;
    assert_eq!(build["id"], id.0);
    assert_eq!(build["status"], "canceled");
    assert!(build["finished_at"].is_string());
    assert_eq!(build["started_at"], Value::Null);
    assert_eq!(build["pipeline"]["status"], "canceled");
}

async fn runner_of_a_canceled_build_gets_its_status(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let claim = fixture.running_build().await;
    let build = fixture.post_action(claim.id, "/cancel", 201).await;
    assert_eq!(build["status"], "canceled");
    assert!(build["started_at"].is_string());
    let response = claim.patch("0-1", "x").await.is(202);
    assert_eq!(response.header("Build-Status"), Some("canceled"));
}

async fn cancel_of_a_finished_build_changes_nothing(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for state in ["success", "failed"] {
        let claim = fixture.finished_build(state).await;
        let before = fixture.get_build(claim.id).await;
        assert_eq!(before["status"], state);
        let after = fixture.post_action(claim.id, "/cancel", 201).await;
        assert_eq!(after, before);
    }
}

async fn cancel_needs_no_body_and_no_content_type(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.pending_build().await;
    let request = fixture
        .developer
        .request(reqwest::Method::POST, &build_path(id, "/cancel"));
    let request = request.build().unwrap();
    assert!(request.body().is_none());
    assert!(!request.headers().contains_key("content-type"));
    let response = fixture.farm.http.execute(request).await.unwrap();
    assert_eq!(response.status(), 201);
}

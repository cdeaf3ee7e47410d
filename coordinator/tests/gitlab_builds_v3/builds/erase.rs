//! Erasing builds.
//!
//! See `docs/protocols/gitlab-builds-v3.md#erase`.

use serde_json::Value;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::build_path;
use crate::fixture::Fixture;

on_both_back_ends!(
    erase_deletes_trace_and_artifacts,
    running_or_empty_build_is_not_erasable,
);

const NOT_ERASABLE: &str = "403 Forbidden  - Build is not erasable!";

async fn erase_deletes_trace_and_artifacts(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let claim = fixture.build_with_trace_and_archive().await;
    let before = fixture.get_build(claim.id).await;
    let erased = fixture.post_action(claim.id, "/erase", 201).await;
    let mut expected = before.clone();
    expected["artifacts_file"] = Value::Null;
    expected["download_url"] = Value::Null;
    assert_eq!(erased, expected);
    for below in ["/trace", "/artifacts"] {
        let response = fixture.developer.get(&build_path(claim.id, below)).await;
        response.fails_with(404, "404 Not Found");
    }
    // The runner can no longer send a trace.
    let response = claim.patch("5-6", "x").await;
    response.fails_with_text(403, "403 Forbidden  - Build has been erased!");
}

async fn running_or_empty_build_is_not_erasable(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let claim = fixture.build_with_trace_and_archive().await;
    let erase = async |id| fixture.developer.post(&build_path(id, "/erase")).await;
    erase(claim.id).await.is(201);
    erase(claim.id).await.fails_with(403, NOT_ERASABLE);
    let without_data = fixture.finished_build("success").await;
    erase(without_data.id).await.fails_with(403, NOT_ERASABLE);
    let running = fixture.running_build().await;
    running.patch("0-5", "hello").await.is(202);
    erase(running.id).await.fails_with(403, NOT_ERASABLE);
    let response = fixture
        .reporter
        .post(&build_path(running.id, "/erase"))
        .await;
    response.fails_with(403, "403 Forbidden");
}

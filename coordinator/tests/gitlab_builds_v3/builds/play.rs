//! Playing manual builds.
//!
//! See `docs/protocols/gitlab-builds-v3.md#play`.

use serde_json::json;
use slipway_domain::{JobId, When};
use slipway_testkit::farm::jobs_named;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::build_path;
use crate::fixture::Fixture;

on_both_back_ends!(manual_build_is_played_once);

/// Creates a manual build.
async fn create_manual_build(fixture: &Fixture) -> JobId {
    let mut definition = jobs_named(&[("deploy", &[])]);
    definition.jobs[0].when = When::Manual;
    let build = fixture
        .farm
        .build_defined(&fixture.project, definition)
        .await;
    fixture.farm.jobs(&build).await[0].id
}

async fn manual_build_is_played_once(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let unplayable = "400 (Bad request) \"Unplayable Job\" not given";
    let done = fixture.finished_build("success").await;
    let response = fixture.developer.post(&build_path(done.id, "/play")).await;
    response.fails_with(400, unplayable);
    let id = create_manual_build(&fixture).await;
    let response = fixture.reporter.post(&build_path(id, "/play")).await;
    response.fails_with(403, "403 Forbidden");
    // A manual build has the status skipped, and skipped builds are not canceled.
    assert_eq!(
        fixture.post_action(id, "/cancel", 201).await["status"],
        "skipped"
    );
    let played = fixture.post_action(id, "/play", 200).await;
    assert_eq!(
        (&played["id"], &played["status"]),
        (&json!(id.0), &json!("pending"))
    );
    assert_eq!(played["user"]["username"], "dora");
    let response = fixture.developer.post(&build_path(id, "/play")).await;
    response.fails_with(400, unplayable);
    assert_eq!(fixture.register_runner().await.claim().await.id, id);
    // The retry of a manual build that was canceled is pending and not manual.
    let id = create_manual_build(&fixture).await;
    fixture.farm.cancel(id).await;
    assert_eq!(
        fixture.post_action(id, "/retry", 201).await["status"],
        "pending"
    );
}

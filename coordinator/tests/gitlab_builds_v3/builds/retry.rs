//! Retrying builds.
//!
//! See `docs/protocols/gitlab-builds-v3.md#retry`.

use serde_json::{Value, json};
use slipway_testkit::farm::SHA;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::build_path;
use crate::client::RunnerApi;
use crate::fixture::Fixture;

on_both_back_ends!(
    retry_creates_a_new_build,
    retry_of_a_retried_build_retries_its_latest_attempt,
    unfinished_or_skipped_build_is_not_retryable,
    retried_build_is_claimed_by_a_runner_with_its_tags,
);

const NOT_RETRYABLE: &str = "403 Forbidden  - Build is not retryable";

async fn retry_creates_a_new_build(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let claim = fixture.finished_build("failed").await;
    let old = fixture.get_build(claim.id).await;
    let new = fixture.post_action(claim.id, "/retry", 201).await;
    assert_ne!(new["id"], old["id"]);
    assert_eq!(new["status"], "pending");
    assert_eq!(new["user"]["username"], "dora");
    for member in ["runner", "started_at", "finished_at", "artifacts_file"] {
        assert_eq!(new[member], Value::Null, "{member}");
    }
    for member in ["name", "stage", "ref", "tag", "commit"] {
        assert_eq!(new[member], old[member], "{member}");
    }
    assert_eq!(new["pipeline"]["id"], old["pipeline"]["id"]);
    let mut unchanged = fixture.get_build(claim.id).await;
    assert_eq!(unchanged["status"], "failed");
    // The pipeline is pending again; nothing else of the old build has changed.
    unchanged["pipeline"]["status"] = old["pipeline"]["status"].clone();
    assert_eq!(unchanged, old);
    let list = fixture.developer.get("/projects/1/builds").await;
    assert_eq!(list.ids(), [new["id"].as_i64().unwrap(), claim.id.0]);
}

async fn retry_of_a_retried_build_retries_its_latest_attempt(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let first = fixture.finished_build("failed").await;
    let second = fixture.post_action(first.id, "/retry", 201).await;
    // The latest attempt, which is pending, decides.
    let response = fixture
        .developer
        .post(&build_path(first.id, "/retry"))
        .await;
    response.fails_with(403, NOT_RETRYABLE);
    let claim = fixture.register_runner().await.claim().await;
    assert_eq!(second["id"], claim.id.0);
    claim.succeed().await;
    let third = fixture.post_action(first.id, "/retry", 201).await;
    assert_eq!(third["status"], "pending");
    assert!(third["id"].as_i64() > second["id"].as_i64());
}

async fn unfinished_or_skipped_build_is_not_retryable(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let jobs = [("unit", &[][..]), ("later", &["unit"][..])];
    let jobs = fixture.build_with_jobs("master", SHA, &jobs).await;
    let claim = fixture.register_runner().await.claim().await;
    assert_eq!(claim.id, jobs[0]);
    // The first build is running and the second one is created.
    for id in &jobs {
        let response = fixture.developer.post(&build_path(*id, "/retry")).await;
        response.fails_with(403, NOT_RETRYABLE);
    }
    // Now the first one fails, and the second one is skipped.
    claim.put(json!({"state": "failed"})).await.is(200);
    assert_eq!(fixture.get_build(jobs[1]).await["status"], "skipped");
    let response = fixture.developer.post(&build_path(jobs[1], "/retry")).await;
    response.fails_with(403, NOT_RETRYABLE);
    let response = fixture.reporter.post(&build_path(jobs[0], "/retry")).await;
    response.fails_with(403, "403 Forbidden");
    fixture.post_action(jobs[0], "/retry", 201).await;
}

async fn retried_build_is_claimed_by_a_runner_with_its_tags(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    fixture.farm.build_with_tags(&fixture.project, "big").await;
    let runner = RunnerApi::new(&fixture.farm);
    let runner = runner.register_tagged_runner(&fixture.farm, "big").await;
    let claim = runner.claim().await;
    claim.put(json!({"state": "failed"})).await.is(200);
    let new = fixture.post_action(claim.id, "/retry", 201).await;
    // A runner without the tag does not get it.
    fixture.register_runner().await.expect_no_job().await;
    let new_claim = runner.claim().await;
    assert_eq!(new["id"], new_claim.id.0);
    new_claim.succeed().await;
    assert_eq!(fixture.get_build(new_claim.id).await["status"], "success");
}

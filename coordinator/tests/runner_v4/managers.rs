//! Several managers under one runner token, told apart by their system ids.
//!
//! See `docs/protocols/runner-v4.md#managers`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Runner, RunnerApi, definition};

on_both_back_ends!(
    managers_are_listed_by_system_id,
    managers_claim_jobs_for_their_own_architecture,
    cancel_gracefully_applies_to_the_manager_that_announced_it,
    deleting_a_manager_keeps_its_runner,
    deleting_a_manager_requires_a_system_id_and_a_known_token,
);

async fn list_managers(farm: &TestFarm, id: i64) -> Vec<Value> {
    let request = farm
        .http
        .get(farm.url(&format!("/v1/runners/{id}/managers")));
    let response = request.bearer_auth(&farm.admin_token).send().await.unwrap();
    let list: Value = response.json().await.unwrap();
    list["items"].as_array().unwrap().clone()
}

async fn delete_manager(runner: &Runner, body: &Value) -> ApiResponse {
    let api = &runner.api;
    api.json(Method::DELETE, "/runners/managers", body).await
}

async fn managers_are_listed_by_system_id(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).create_runner(&farm).await;
    let (mut one, mut other) = (
        runner.with_system_id("s_one"),
        runner.with_system_id("s_other"),
    );
    one.info["version"] = "17.0.0".into();
    other.info["version"] = "18.0.0".into();
    one.expect_no_job().await;
    farm.advance(1);
    other.expect_no_job().await;
    let before = list_managers(&farm, runner.id.0).await;
    let versions: Vec<_> = before
        .iter()
        .map(|manager| (&manager["system_id"], &manager["version"]))
        .collect();
    assert_eq!(
        versions,
        [
            (&json!("s_one"), &json!("17.0.0")),
            (&json!("s_other"), &json!("18.0.0"))
        ]
    );
    // An update of one manager does not change the other.
    farm.advance(60);
    one.info["version"] = "17.1.0".into();
    one.expect_no_job().await;
    let after = list_managers(&farm, runner.id.0).await;
    assert_eq!(after[0]["version"], "17.1.0");
    assert_ne!(after[0]["contact_at"], before[0]["contact_at"]);
    assert_eq!(after[1], before[1]);
}

async fn managers_claim_jobs_for_their_own_architecture(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).create_runner(&farm).await;
    let (mut amd, mut arm) = (
        runner.with_system_id("s_amd"),
        runner.with_system_id("s_arm"),
    );
    amd.info["architecture"] = "amd64".into();
    arm.info["architecture"] = "arm64".into();
    let jobs = json!([{
        "name": "image", "spec": {"kind": "image_build", "platforms": ["linux/arm64"]}
    }]);
    let build = farm.build_defined(&project, definition(jobs)).await;
    // What the other manager announced does not count, even if it polled last.
    amd.expect_no_job().await;
    assert_eq!(arm.claim().await.id, farm.jobs(&build).await[0].id);
    farm.build(&project).await;
    amd.expect_no_job().await;
    arm.claim().await;
}

async fn cancel_gracefully_applies_to_the_manager_that_announced_it(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).create_runner(&farm).await;
    let (new, old) = (
        runner.with_system_id("s_new").cancels_gracefully(),
        runner.with_system_id("s_old"),
    );
    for _ in 0..2 {
        farm.build(&project).await;
    }
    let (by_new, by_old) = (new.claim().await, old.claim().await);
    for claim in [&by_new, &by_old] {
        farm.cancel(claim.id).await;
    }
    by_new
        .patch("0-0", ".")
        .await
        .has_job_status(202, "canceling");
    by_old
        .patch("0-0", ".")
        .await
        .has_job_status(403, "canceled");
}

async fn deleting_a_manager_keeps_its_runner(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm)
        .create_runner(&farm)
        .await
        .with_system_id("s_1");
    runner.verify().await.is(200);
    runner.with_system_id("s_2").verify().await.is(200);
    let body = json!({"token": runner.token, "system_id": "s_1"});
    let response = delete_manager(&runner, &body).await;
    assert!(response.is(204).body.is_empty());
    delete_manager(&runner, &body).await.is(404);
    let left = farm.farm().managers_of(&farm.runners().await[0]).await;
    let left: Vec<String> = left
        .unwrap()
        .into_iter()
        .map(|manager| manager.system_id)
        .collect();
    assert_eq!(left, ["s_2"]);
    runner.verify().await.is(200);
}

async fn deleting_a_manager_requires_a_system_id_and_a_known_token(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).create_runner(&farm).await;
    let body = json!({"token": runner.token});
    delete_manager(&runner, &body).await.is(400);
    let body = json!({"token": "bad", "system_id": "s_1"});
    delete_manager(&runner, &body).await.fails_as_forbidden();
}

//! Beyond the checks: several processes under one token, told apart by the names of their hosts.

use serde_json::{Value, json};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{RunnerApi, definition};

on_both_back_ends!(
    the_processes_of_a_runner_are_told_apart,
    each_process_gets_what_it_can_build,
    a_process_that_knows_how_to_end_a_job_does_not_speak_for_the_others,
);

async fn managers(farm: &TestFarm, id: i64) -> Vec<Value> {
    let request = farm
        .http
        .get(farm.url(&format!("/v1/runners/{id}/managers")));
    let answer = request.bearer_auth(&farm.admin_token).send().await.unwrap();
    let list: Value = answer.json().await.unwrap();
    list["items"].as_array().unwrap().clone()
}

async fn the_processes_of_a_runner_are_told_apart(backend: Backend) {
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
    let known = managers(&farm, runner.id.0).await;
    let told: Vec<_> = known
        .iter()
        .map(|m| (&m["system_id"], &m["version"]))
        .collect();
    assert_eq!(
        told,
        [
            (&json!("s_one"), &json!("17.0.0")),
            (&json!("s_other"), &json!("18.0.0"))
        ]
    );
    // News of one is not news of the other.
    farm.advance(60);
    one.info["version"] = "17.1.0".into();
    one.expect_no_job().await;
    let later = managers(&farm, runner.id.0).await;
    assert_eq!(later[0]["version"], "17.1.0");
    assert_ne!(later[0]["contact_at"], known[0]["contact_at"]);
    assert_eq!(later[1], known[1]);
}

async fn each_process_gets_what_it_can_build(backend: Backend) {
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
    // The other's word does not count for it, whoever spoke last.
    amd.expect_no_job().await;
    assert_eq!(arm.claim().await.id, farm.jobs(&build).await[0].id);
    farm.build(&project).await;
    amd.expect_no_job().await;
    arm.claim().await;
}

async fn a_process_that_knows_how_to_end_a_job_does_not_speak_for_the_others(backend: Backend) {
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
        .is_with_job_status(202, "canceling");
    by_old
        .patch("0-0", ".")
        .await
        .is_with_job_status(403, "canceled");
}

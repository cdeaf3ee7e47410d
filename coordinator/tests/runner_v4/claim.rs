//! Claiming jobs: which runner gets a job, and the response without a pending job.
//!
//! See `docs/protocols/runner-v4.md#claiming-jobs` and `docs/protocols/runner-v4.md#queue-key`.

use serde_json::json;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{RunnerApi, definition};

on_both_back_ends!(
    claim_with_unknown_token_is_forbidden_and_without_token_a_bad_request,
    claim_returns_204_with_a_queue_key_when_no_job_is_pending,
    queue_key_stays_the_same_until_a_job_is_pending,
    claim_ignores_unknown_members,
    claim_returns_204_to_a_paused_runner,
    job_is_claimed_once,
    tags_decide_which_runner_claims_a_job,
    image_build_with_ssh_is_not_claimed_by_stock_runners,
);

async fn claim_with_unknown_token_is_forbidden_and_without_token_a_bad_request(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    runner
        .request_job(&json!({"token": "bad"}))
        .await
        .fails_as_forbidden();
    let response = runner.request_job(&json!({})).await.is(400);
    assert_eq!(response.json(), json!({"error": "token is missing"}));
}

async fn claim_returns_204_with_a_queue_key_when_no_job_is_pending(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    runner.poll().await.no_job();
    // The poll updates what the farm knows about the runner.
    let stored = &farm.runners().await[0];
    assert_eq!(stored.about.version.as_deref(), Some("16.11.1"));
    assert_eq!(stored.about.executor.as_deref(), Some("shell"));
    assert!(stored.contact_at.is_some());
}

async fn queue_key_stays_the_same_until_a_job_is_pending(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let key = runner.expect_no_job().await;
    assert_eq!(runner.poll_with_queue_key(&key).await.no_job(), key);
    let build = farm.build(&project).await;
    let response = runner.poll_with_queue_key(&key).await.is(201);
    assert_eq!(response.json()["id"], farm.jobs(&build).await[0].id.0);
}

async fn claim_ignores_unknown_members(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let mut body = runner.job_request();
    body["session"] = json!({
        "url": "https://r:8093/session/1", "certificate": "PEM", "authorization": "z"
    });
    body["info"]["labels"] = json!({"zone": "a"});
    body["info"]["features"]["a_new_one"] = json!({"is": "no boolean"});
    body["new"] = json!([1, null]);
    runner.request_job(&body).await.no_job();
    farm.build(&project).await;
    runner.request_job(&body).await.is(201);
}

async fn claim_returns_204_to_a_paused_runner(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    farm.pause_runner(runner.id).await;
    farm.build(&project).await;
    assert!(runner.poll().await.is(204).body.is_empty());
}

async fn job_is_claimed_once(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let runners = [
        api.register_runner(&farm).await,
        api.register_runner(&farm).await,
    ];
    farm.build(&project).await;
    let response = runners[0].poll().await.is(201);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.queue_key(), None);
    runners[0].expect_no_job().await;
    for _ in 0..5 {
        farm.build(&project).await;
        let (one, other) = tokio::join!(runners[0].poll(), runners[1].poll());
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 204]);
    }
}

async fn tags_decide_which_runner_claims_a_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let register = async |tags: &str| {
        let body = json!({"tag_list": tags, "run_untagged": false});
        api.register(&farm.registration_token, body).await
    };
    let (x, y) = (register("x").await, register("y").await);
    let tagged = farm.build_with_tags(&project, "x").await;
    y.expect_no_job().await;
    assert_eq!(x.claim().await.id, farm.jobs(&tagged).await[0].id);
    farm.build_with_tags(&project, "").await;
    x.expect_no_job().await;
    api.register_runner(&farm).await.claim().await;
}

async fn image_build_with_ssh_is_not_claimed_by_stock_runners(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let jobs = json!([{"name": "image", "spec": {"kind": "image_build", "ssh": "KEY"}}]);
    farm.build_defined(&project, definition(jobs)).await;
    RunnerApi::new(&farm)
        .register_runner(&farm)
        .await
        .expect_no_job()
        .await;
    let jobs = json!([{"name": "image", "spec": {"kind": "image_build"}}]);
    farm.build_defined(&project, definition(jobs)).await;
    RunnerApi::new(&farm)
        .register_runner(&farm)
        .await
        .claim()
        .await;
}

//! Checks 14 to 19 and 23: asking for a job, and who gets it.

use serde_json::json;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::RunnerApi;

on_both_back_ends!(
    check_14_an_unknown_runner_is_forbidden_and_a_missing_token_a_bad_request,
    check_15_an_empty_queue_is_204_with_a_value,
    check_16_the_value_holds_a_poll_until_there_is_a_job,
    check_17_what_nobody_knows_is_passed_over,
    check_18_a_paused_runner_finds_nothing,
    check_19_a_job_is_given_once,
    check_23_tags_decide_who_gets_a_job,
);

async fn check_14_an_unknown_runner_is_forbidden_and_a_missing_token_a_bad_request(
    backend: Backend,
) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    runner
        .request_job(&json!({"token": "bad"}))
        .await
        .is_forbidden();
    let answer = runner.request_job(&json!({})).await.is(400);
    assert_eq!(answer.json(), json!({"error": "token is missing"}));
}

async fn check_15_an_empty_queue_is_204_with_a_value(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    runner.poll().await.no_job();
    // What it said is known of it.
    let known = &farm.runners().await[0];
    assert_eq!(known.about.version.as_deref(), Some("16.11.1"));
    assert_eq!(known.about.executor.as_deref(), Some("shell"));
    assert!(known.contact_at.is_some());
}

async fn check_16_the_value_holds_a_poll_until_there_is_a_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let value = runner.expect_no_job().await;
    assert_eq!(runner.poll_with_queue_key(&value).await.no_job(), value);
    let build = farm.build(&project).await;
    let answer = runner.poll_with_queue_key(&value).await.is(201);
    assert_eq!(answer.json()["id"], farm.jobs(&build).await[0].id.0);
}

async fn check_17_what_nobody_knows_is_passed_over(backend: Backend) {
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

async fn check_18_a_paused_runner_finds_nothing(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    farm.pause_runner(runner.id).await;
    farm.build(&project).await;
    assert!(runner.poll().await.is(204).body.is_empty());
}

async fn check_19_a_job_is_given_once(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let runners = [
        api.register_runner(&farm).await,
        api.register_runner(&farm).await,
    ];
    farm.build(&project).await;
    let answer = runners[0].poll().await.is(201);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.queue_key(), None);
    runners[0].expect_no_job().await;
    for _ in 0..5 {
        farm.build(&project).await;
        let (one, other) = tokio::join!(runners[0].poll(), runners[1].poll());
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 204]);
    }
}

async fn check_23_tags_decide_who_gets_a_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let with = async |tags: &str| {
        let body = json!({"tag_list": tags, "run_untagged": false});
        api.register(&farm.registration_token, body).await
    };
    let (x, y) = (with("x").await, with("y").await);
    let tagged = farm.build_with_tags(&project, "x").await;
    y.expect_no_job().await;
    assert_eq!(x.claim().await.id, farm.jobs(&tagged).await[0].id);
    farm.build_with_tags(&project, "").await;
    x.expect_no_job().await;
    api.register_runner(&farm).await.claim().await;
}

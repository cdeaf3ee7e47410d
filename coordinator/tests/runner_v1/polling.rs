//! Checks 14 to 24: asking for a job when there is none, and the value that goes with it.

use reqwest::Method;
use serde_json::json;
use slipway_domain::TagSet;
use slipway_farm::RunnerUpdate;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::RunnerApi;
use crate::raw_http::Connection;

on_both_back_ends!(
    check_14_a_poll_without_a_runners_token_is_forbidden,
    check_15_an_empty_queue_answers_204_with_a_queue_value,
    check_16_another_client_hears_404_instead,
    check_17_a_client_without_a_name_hears_404_too,
    check_18_a_beta_of_the_stock_runner_hears_204,
    check_19_a_development_build_of_it_hears_404,
    check_20_a_paused_runner_hears_404,
    check_21_the_same_value_is_answered_for_as_long_as_nothing_happens,
    check_22_a_job_is_given_to_a_poll_with_the_value_from_before_it,
    check_23_two_runners_have_two_values,
    check_24_a_change_of_the_runner_changes_its_value,
);

const NOT_FOUND: &str = "404 Not Found";

async fn check_14_a_poll_without_a_runners_token_is_forbidden(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    let reg = &farm.registration_token;
    for body in [
        json!({"token": "nope"}),
        json!({}),
        json!({"token": ""}),
        json!({"token": null}),
        json!({ "token": reg }),
    ] {
        api.json(Method::POST, "/builds/register.json", &body)
            .await
            .is_error(403, "403 Forbidden");
    }
    api.empty(Method::POST, "/builds/register.json")
        .await
        .is_error(403, "403 Forbidden");
}

async fn check_15_an_empty_queue_answers_204_with_a_queue_value(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    runner.poll().await.no_job();
    // Whatever a client leaves out.
    let body = json!({"token": runner.token, "surprise": [1, {"a": null}]});
    let answer = runner
        .api
        .json(Method::POST, "/builds/register", &body)
        .await;
    answer.no_job();
}

/// Polls as `agent`; the answer is 404 with the queue value.
async fn hears_404(backend: Backend, agent: &'static str) {
    let farm = TestFarm::start(backend).await;
    let mut runner = RunnerApi::new(&farm).register_runner(&farm).await;
    runner.api = runner.api.with_user_agent(Some(agent));
    let answer = runner.poll().await.is_error(404, NOT_FOUND);
    assert!(answer.queue_key().is_some(), "{answer:?}");
}

async fn check_16_another_client_hears_404_instead(backend: Backend) {
    hears_404(backend, "Go-http-client/1.1").await;
}

async fn check_17_a_client_without_a_name_hears_404_too(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let mut connection = Connection::to(&runner.api).await;
    let body = json!({"token": runner.token}).to_string();
    let head = "POST /ci/api/v1/builds/register HTTP/1.1\r\nContent-Type: application/json";
    let answer = connection.request(head, &body).await;
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(answer.body, r#"{"message":"404 Not Found"}"#);
    let head = answer.head.to_ascii_lowercase();
    assert!(head.contains("\r\nx-gitlab-last-update: "), "{head}");
}

async fn check_18_a_beta_of_the_stock_runner_hears_204(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let mut runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let beta = "gitlab-ci-multi-runner 1.6.0~beta.167.g2b2bacc (x; y; z)";
    runner.api = runner.api.with_user_agent(Some(beta));
    runner.poll().await.no_job();
}

async fn check_19_a_development_build_of_it_hears_404(backend: Backend) {
    hears_404(
        backend,
        "gitlab-ci-multi-runner dev (HEAD; go1.7; linux/amd64)",
    )
    .await;
}

async fn check_20_a_paused_runner_hears_404(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    farm.pause_runner(runner.id).await;
    // Work to do changes nothing, and neither does the value that it might present.
    let build = farm.build(&project).await;
    for answer in [runner.poll().await, runner.poll_with_queue_key("any").await] {
        let answer = answer.is_error(404, NOT_FOUND);
        assert_eq!(answer.queue_key(), None);
    }
    let job = farm.jobs(&build).await.remove(0);
    assert_eq!(job.state.name(), "pending");
    let contact = farm.runners().await[0].contact_at;
    assert_eq!(contact, None, "a paused runner's contact is not noted");
}

async fn check_21_the_same_value_is_answered_for_as_long_as_nothing_happens(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let value = runner.expect_no_job().await;
    assert_eq!(runner.poll_with_queue_key(&value).await.no_job(), value);
    assert_eq!(runner.poll().await.no_job(), value);
}

async fn check_22_a_job_is_given_to_a_poll_with_the_value_from_before_it(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let value = runner.expect_no_job().await;
    let build = farm.build(&project).await;
    let answer = runner.poll_with_queue_key(&value).await.is(201);
    assert_eq!(answer.queue_key(), None);
    let job = farm.jobs(&build).await.remove(0);
    assert_eq!(answer.json()["id"], job.id.0);
    assert_eq!(job.state.name(), "running");
    assert_eq!(job.runner, Some(runner.id));
    assert!(job.started_at.is_some());
    // The client still holds the old value, and looks again with it at once.
    let next = runner.poll_with_queue_key(&value).await.no_job();
    assert_ne!(next, value);
}

async fn check_23_two_runners_have_two_values(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    let (one, two) = (
        api.register_runner(&farm).await,
        api.register_runner(&farm).await,
    );
    let (first, second) = (one.expect_no_job().await, two.expect_no_job().await);
    assert_ne!(first, second);
    // A client that mixes its runners' values up is told the right one, and not held for it.
    assert_eq!(one.poll_with_queue_key(&second).await.no_job(), first);
}

async fn check_24_a_change_of_the_runner_changes_its_value(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm)
        .register_tagged_runner(&farm, "x")
        .await;
    let mut value = runner.expect_no_job().await;
    let changes = [
        RunnerUpdate {
            tags: TagSet::from_list("y").ok(),
            ..RunnerUpdate::default()
        },
        RunnerUpdate {
            description: Some("renamed".to_owned()),
            ..RunnerUpdate::default()
        },
        RunnerUpdate {
            run_untagged: Some(false),
            ..RunnerUpdate::default()
        },
        RunnerUpdate {
            locked: Some(true),
            ..RunnerUpdate::default()
        },
    ];
    for change in changes {
        farm.change_runner(runner.id, change.clone()).await;
        let next = runner.poll_with_queue_key(&value).await.no_job();
        assert_ne!(next, value, "{change:?}");
        value = next;
    }
}

//! Claiming jobs: which runner gets a job, and the response without a pending job.
//!
//! See `docs/protocols/runner-v1.md#claiming-jobs`.

mod again;
mod long_poll;
mod payload;
mod queue_key;

use reqwest::Method;
use serde_json::json;
use slipway_domain::BuildState;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::RunnerApi;
use crate::raw_http::Connection;

on_both_back_ends!(
    claim_without_a_runner_token_is_forbidden,
    claim_returns_204_with_a_queue_key_when_no_job_is_pending,
    claim_returns_404_to_other_clients_when_no_job_is_pending,
    claim_returns_404_without_user_agent_when_no_job_is_pending,
    claim_returns_204_to_a_stock_beta_when_no_job_is_pending,
    claim_returns_404_to_a_stock_development_build_when_no_job_is_pending,
    claim_returns_404_to_a_paused_runner,
    tagged_job_is_claimed_by_a_runner_with_the_tag,
    untagged_job_is_not_claimed_by_a_runner_that_requires_tags,
    two_simultaneous_polls_claim_a_job_once,
    job_is_skipped_when_a_needed_job_fails,
);

const NOT_FOUND: &str = "404 Not Found";

async fn claim_without_a_runner_token_is_forbidden(backend: Backend) {
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
            .fails_with(403, "403 Forbidden");
    }
    api.empty(Method::POST, "/builds/register.json")
        .await
        .fails_with(403, "403 Forbidden");
}

async fn claim_returns_204_with_a_queue_key_when_no_job_is_pending(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    runner.poll().await.no_job();
    // All members except the token are optional, and unknown members are ignored.
    let body = json!({"token": runner.token, "surprise": [1, {"a": null}]});
    let response = runner
        .api
        .json(Method::POST, "/builds/register", &body)
        .await;
    response.no_job();
}

/// Polls with this `User-Agent` and asserts 404 with a queue key.
async fn assert_empty_claim_returns_404(backend: Backend, user_agent: &'static str) {
    let farm = TestFarm::start(backend).await;
    let mut runner = RunnerApi::new(&farm).register_runner(&farm).await;
    runner.api = runner.api.with_user_agent(Some(user_agent));
    let response = runner.poll().await.fails_with(404, NOT_FOUND);
    assert!(response.queue_key().is_some(), "{response:?}");
}

async fn claim_returns_404_to_other_clients_when_no_job_is_pending(backend: Backend) {
    assert_empty_claim_returns_404(backend, "Go-http-client/1.1").await;
}

async fn claim_returns_404_without_user_agent_when_no_job_is_pending(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let mut connection = Connection::to(&runner.api).await;
    let body = json!({"token": runner.token}).to_string();
    let head = "POST /ci/api/v1/builds/register HTTP/1.1\r\nContent-Type: application/json";
    let response = connection.request(head, &body).await;
    assert_eq!(response.status, 404, "{response:?}");
    assert_eq!(response.body, r#"{"message":"404 Not Found"}"#);
    let head = response.head.to_ascii_lowercase();
    assert!(head.contains("\r\nx-gitlab-last-update: "), "{head}");
}

async fn claim_returns_204_to_a_stock_beta_when_no_job_is_pending(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let mut runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let beta = "gitlab-ci-multi-runner 1.6.0~beta.167.g2b2bacc (x; y; z)";
    runner.api = runner.api.with_user_agent(Some(beta));
    runner.poll().await.no_job();
}

async fn claim_returns_404_to_a_stock_development_build_when_no_job_is_pending(backend: Backend) {
    assert_empty_claim_returns_404(
        backend,
        "gitlab-ci-multi-runner dev (HEAD; go1.7; linux/amd64)",
    )
    .await;
}

async fn claim_returns_404_to_a_paused_runner(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    farm.pause_runner(runner.id).await;
    // A pending job does not change the response, and neither does a queue key.
    let build = farm.build(&project).await;
    for response in [runner.poll().await, runner.poll_with_queue_key("any").await] {
        let response = response.fails_with(404, NOT_FOUND);
        assert_eq!(response.queue_key(), None);
    }
    let job = farm.jobs(&build).await.remove(0);
    assert_eq!(job.state.name(), "pending");
    let contact = farm.runners().await[0].contact_at;
    assert_eq!(
        contact, None,
        "polls of a paused runner do not count as contact"
    );
}

async fn tagged_job_is_claimed_by_a_runner_with_the_tag(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let plain = api.register_runner(&farm).await;
    let other = api.register_tagged_runner(&farm, "arm").await;
    let able = api.register_tagged_runner(&farm, "arm,gpu").await;
    let build = farm.build_with_tags(&project, "gpu").await;
    plain.expect_no_job().await;
    other.expect_no_job().await;
    assert_eq!(able.claim().await.id, farm.jobs(&build).await[0].id);
}

async fn untagged_job_is_not_claimed_by_a_runner_that_requires_tags(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let body = json!({"tag_list": "gpu", "run_untagged": false});
    let tagged_only = api.register(&farm.registration_token, body).await;
    let build = farm.build(&project).await;
    tagged_only.expect_no_job().await;
    let untagged_too = api.register_tagged_runner(&farm, "gpu").await;
    assert_eq!(untagged_too.claim().await.id, farm.jobs(&build).await[0].id);
}

async fn two_simultaneous_polls_claim_a_job_once(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    // Separate clients have separate connections, so separate server workers handle the polls.
    let (one, two) = (
        RunnerApi::new(&farm).register_runner(&farm).await,
        RunnerApi::new(&farm).register_runner(&farm).await,
    );
    for round in 0..10 {
        let build = farm.build(&project).await;
        let (first, second) = tokio::join!(one.poll(), two.poll());
        let (winner, other) = match first.status {
            201 => (first, second),
            _ => (second, first),
        };
        assert_eq!(winner.status, 201, "round {round}: {winner:?}");
        assert!(
            [204, 404, 409].contains(&other.status),
            "round {round}: {other:?}"
        );
        let jobs = farm.jobs(&build).await;
        assert_eq!(jobs.len(), 1);
        assert_eq!(winner.json()["id"], jobs[0].id.0);
    }
}

async fn job_is_skipped_when_a_needed_job_fails(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let jobs: [(&str, &[&str]); 4] = [
        ("first", &[]),
        ("second", &["first"]),
        ("third", &["second"]),
        ("apart", &[]),
    ];
    let build = farm.build_of(&project, &jobs).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let (first, apart) = (runner.claim().await, runner.claim().await);
    assert_eq!(
        (&first.payload["name"], &apart.payload["name"]),
        (&json!("first"), &json!("apart"))
    );
    first.put(json!({"state": "failed"})).await.is(200);
    let states: Vec<&str> = farm
        .jobs(&build)
        .await
        .iter()
        .map(|job| job.state.name())
        .collect();
    assert_eq!(states, ["failed", "skipped", "skipped", "running"]);
    runner.expect_no_job().await;
    apart.succeed().await;
    assert_eq!(farm.build_now(&build).await.state, BuildState::Failed);
}

//! Two coordinators on one PostgreSQL database act as one farm.
//!
//! See `docs/protocols/runner-v1.md#claiming-jobs` and `docs/protocols/runner-v1.md#cancellation`.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use slipway_coordinator::Coordinator;
use slipway_domain::{JobState, Phase};
use slipway_testkit::{Backend, TestFarm, wait_until};
use tokio::time::timeout;

use crate::client::{Claim, Runner, RunnerApi};

/// Longer than any step of these tests takes, and shorter than the interval at which held requests
/// look at the database themselves.
const SOON: Duration = Duration::from_secs(8);

async fn two_coordinators() -> (TestFarm, Coordinator) {
    let farm = TestFarm::start_with(Backend::Postgres, |config| {
        config.limits.poll_wait_s = Duration::from_secs(60);
    })
    .await;
    let second = farm.second_coordinator().await;
    (farm, second)
}

/// The same runner, connected to another coordinator.
fn runner_at(coordinator: &Coordinator, runner: &Runner) -> Runner {
    Runner {
        api: RunnerApi::at(&format!("http://{}", coordinator.address)),
        ..runner.clone()
    }
}

#[tokio::test]
async fn job_is_claimed_at_one_coordinator_only() {
    let (farm, second) = two_coordinators().await;
    let project = farm.project("acme/api").await;
    let here = RunnerApi::new(&farm).register_runner(&farm).await;
    let there = runner_at(&second, &RunnerApi::new(&farm).register_runner(&farm).await);
    for round in 0..10 {
        farm.build(&project).await;
        let (first, other) = tokio::join!(here.poll(), there.poll());
        let mut statuses = [first.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 204], "round {round}");
    }
}

#[tokio::test]
async fn new_job_wakes_a_poll_held_at_the_other_coordinator() {
    let (farm, second) = two_coordinators().await;
    let project = farm.project("acme/api").await;
    let runner = runner_at(&second, &RunnerApi::new(&farm).register_runner(&farm).await);
    let key = runner.expect_no_job().await;
    let waiting = runner.clone();
    let poll = tokio::spawn(async move { waiting.poll_with_queue_key(&key).await });
    wait_until(SOON, "the poll is held", async || {
        second.farm.parked_polls() == 1
    })
    .await;
    let build = farm.build(&project).await;
    let response = timeout(SOON, poll).await.expect("a response soon").unwrap();
    let claim = Claim::read(&runner, &response);
    assert_eq!(claim.id, farm.jobs(&build).await[0].id);
}

#[tokio::test]
async fn poll_held_at_the_other_coordinator_ends_when_its_runner_is_changed() {
    let (farm, second) = two_coordinators().await;
    let runner = runner_at(&second, &RunnerApi::new(&farm).register_runner(&farm).await);
    let key = runner.expect_no_job().await;
    let waiting = runner.clone();
    let poll = tokio::spawn(async move { waiting.poll_with_queue_key(&key).await });
    wait_until(SOON, "the poll is held", async || {
        second.farm.parked_polls() == 1
    })
    .await;
    farm.pause_runner(runner.id).await;
    second.farm.look_for_parked_polls().await.unwrap();
    let response = timeout(SOON, poll).await.expect("a response soon").unwrap();
    response.fails_with(404, "404 Not Found");
}

#[tokio::test]
async fn job_continues_at_the_other_coordinator_and_is_canceled_at_the_first() {
    let (farm, second) = two_coordinators().await;
    let project = farm.project("acme/api").await;
    farm.build(&project).await;
    let mut claim = RunnerApi::new(&farm)
        .register_runner(&farm)
        .await
        .claim()
        .await;
    claim.patch("0-5", "hello").await.is(202);
    claim.runner = runner_at(&second, &claim.runner);
    claim.patch("5-11", " world").await.is(202);
    assert_eq!(farm.trace(claim.id).await, b"hello world");
    let heartbeat = claim.clone();
    let heartbeat = tokio::spawn(async move {
        let body = json!({"token": heartbeat.runner.token, "phase": "pushing"});
        let path = format!("/builds/{}.json", heartbeat.id);
        let request = heartbeat.runner.api.request(Method::PUT, &path).json(&body);
        let request = request.header("Prefer", "wait=10");
        heartbeat.runner.api.send(request).await
    });
    wait_until(SOON, "the phase is stored", async || {
        matches!(
            farm.job(claim.id).await.state,
            JobState::Running(_, Phase::Pushing)
        )
    })
    .await;
    assert!(!heartbeat.is_finished());
    farm.cancel(claim.id).await;
    let response = timeout(SOON, heartbeat).await.expect("a response at once");
    response.unwrap().fails_with(404, "404 Not found");
}

#[tokio::test]
async fn one_request_id_gets_one_job_at_both_coordinators() {
    let (farm, second) = two_coordinators().await;
    let project = farm.project("acme/api").await;
    let here = RunnerApi::new(&farm).register_runner(&farm).await;
    let there = runner_at(&second, &here);
    for round in 0..10 {
        farm.build(&project).await;
        farm.build(&project).await;
        let id = format!("00000000-0000-4000-8000-{round:012}");
        let body = json!({"token": here.token, "request_id": id});
        let path = "/builds/register.json";
        let (first, other) = tokio::join!(
            here.api.json(Method::POST, path, &body),
            there.api.json(Method::POST, path, &body)
        );
        let (first, other) = (Claim::read(&here, &first), Claim::read(&there, &other));
        assert_eq!(
            (first.id, &first.token),
            (other.id, &other.token),
            "round {round}"
        );
        first.succeed().await;
        here.claim().await.succeed().await;
    }
}

//! Beyond the checks: two coordinators on one PostgreSQL are one farm to its runners.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use slipway_coordinator::Coordinator;
use slipway_domain::{JobState, Phase};
use slipway_testkit::{Backend, TestFarm, wait_until};
use tokio::time::timeout;

use crate::client::{Claim, Runner, RunnerApi};

/// Longer than anything here takes, and shorter than those who wait look for themselves.
const SOON: Duration = Duration::from_secs(8);

async fn two() -> (TestFarm, Coordinator) {
    let farm = TestFarm::start_with(Backend::Postgres, |config| {
        config.limits.poll_wait_s = Duration::from_secs(60);
    })
    .await;
    let second = farm.second_coordinator().await;
    (farm, second)
}

/// The same runner, which goes to the other coordinator.
fn at(coordinator: &Coordinator, runner: &Runner) -> Runner {
    Runner {
        api: RunnerApi::at(&format!("http://{}", coordinator.address)),
        ..runner.clone()
    }
}

#[tokio::test]
async fn one_job_is_given_once() {
    let (farm, second) = two().await;
    let project = farm.project("acme/api").await;
    let here = RunnerApi::new(&farm).register_runner(&farm).await;
    let there = at(&second, &RunnerApi::new(&farm).register_runner(&farm).await);
    for round in 0..10 {
        farm.build(&project).await;
        let (first, other) = tokio::join!(here.poll(), there.poll());
        let mut statuses = [first.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 204], "round {round}");
    }
}

#[tokio::test]
async fn a_job_queued_at_one_wakes_a_runner_that_waits_at_the_other() {
    let (farm, second) = two().await;
    let project = farm.project("acme/api").await;
    let runner = at(&second, &RunnerApi::new(&farm).register_runner(&farm).await);
    let value = runner.expect_no_job().await;
    let waiting = runner.clone();
    let poll = tokio::spawn(async move { waiting.poll_with_queue_key(&value).await });
    wait_until(SOON, "the poll is held", async || {
        second.farm.parked_polls() == 1
    })
    .await;
    let build = farm.build(&project).await;
    let answer = timeout(SOON, poll).await.expect("an answer soon").unwrap();
    let claim = Claim::read(&runner, &answer);
    assert_eq!(claim.id, farm.jobs(&build).await[0].id);
}

#[tokio::test]
async fn a_job_goes_on_at_the_other_and_is_canceled_at_the_first() {
    let (farm, second) = two().await;
    let project = farm.project("acme/api").await;
    farm.build(&project).await;
    let mut claim = RunnerApi::new(&farm)
        .register_runner(&farm)
        .await
        .claim()
        .await;
    claim.patch("0-5", "hello").await.is(202);
    claim.runner = at(&second, &claim.runner);
    claim.patch("5-11", " world").await.is(202);
    assert_eq!(farm.trace(claim.id).await, b"hello world");
    let beat = claim.clone();
    let beat = tokio::spawn(async move {
        let body = json!({"token": beat.runner.token, "phase": "pushing"});
        let path = format!("/builds/{}.json", beat.id);
        let request = beat.runner.api.request(Method::PUT, &path).json(&body);
        let request = request.header("Prefer", "wait=10");
        beat.runner.api.send(request).await
    });
    wait_until(SOON, "the phase is noted", async || {
        matches!(
            farm.job(claim.id).await.state,
            JobState::Running(_, Phase::Pushing)
        )
    })
    .await;
    assert!(!beat.is_finished());
    farm.cancel(claim.id).await;
    let answer = timeout(SOON, beat).await.expect("an answer at once");
    answer.unwrap().is_error(404, "404 Not found");
}

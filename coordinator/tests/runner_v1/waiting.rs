//! Beyond the checks: polls that are held, and whom a job wakes.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use slipway_domain::TagSet;
use slipway_farm::RunnerUpdate;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends, wait_until};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::client::{ApiResponse, Claim, Runner, RunnerApi};

on_both_back_ends!(
    a_held_poll_is_answered_as_soon_as_there_is_a_job,
    one_job_wakes_one_of_the_runners_that_wait,
    a_job_passes_over_those_who_wait_and_cannot_take_it,
    a_lost_job_wakes_a_runner_that_did_not_lose_it,
    a_poll_without_a_value_is_never_held,
    a_stopping_coordinator_answers_held_polls,
    a_runner_that_is_paused_while_it_waits_takes_nothing,
    a_runner_that_is_removed_while_it_waits_takes_nothing,
    a_runner_whose_tags_change_while_it_waits_takes_what_it_can_take_now,
);

/// Longer than anything here takes, and far shorter than a poll is held.
const SOON: Duration = Duration::from_secs(8);

/// A farm whose polls are held for as long as a story may take.
async fn patient_farm(backend: Backend) -> TestFarm {
    TestFarm::start_with(backend, |config| {
        config.limits.poll_wait_s = Duration::from_secs(60);
    })
    .await
}

/// Polls with the present value, and is held.
async fn park(farm: &TestFarm, runner: &Runner) -> JoinHandle<ApiResponse> {
    let (value, before) = (runner.expect_no_job().await, farm.farm().parked_polls());
    let runner = runner.clone();
    let poll = tokio::spawn(async move { runner.poll_with_queue_key(&value).await });
    wait_until(SOON, "the poll is held", async || {
        farm.farm().parked_polls() > before
    })
    .await;
    poll
}

async fn answered(poll: JoinHandle<ApiResponse>) -> ApiResponse {
    timeout(SOON, poll).await.expect("an answer soon").unwrap()
}

async fn a_held_poll_is_answered_as_soon_as_there_is_a_job(backend: Backend) {
    let farm = patient_farm(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let poll = park(&farm, &runner).await;
    let build = farm.build(&project).await;
    let answer = answered(poll).await;
    assert_eq!(answer.queue_key(), None);
    let claim = Claim::read(&runner, &answer);
    assert_eq!(claim.id, farm.jobs(&build).await[0].id);
    assert_eq!(farm.farm().parked_polls(), 0);
}

async fn one_job_wakes_one_of_the_runners_that_wait(backend: Backend) {
    let farm = patient_farm(backend).await;
    let project = farm.project("acme/api").await;
    let mut polls = Vec::new();
    for _ in 0..4 {
        let runner = RunnerApi::new(&farm).register_runner(&farm).await;
        polls.push((runner.id, park(&farm, &runner).await));
    }
    // They are woken in the order in which they came, each by a job of its own.
    for left in (0..4).rev() {
        let build = farm.build(&project).await;
        assert_eq!(farm.farm().parked_polls(), left);
        let (runner, poll) = polls.remove(0);
        let answer = answered(poll).await.is(201);
        let job = farm.jobs(&build).await.remove(0);
        assert_eq!(
            (answer.json()["id"].as_i64(), job.runner),
            (Some(job.id.0), Some(runner))
        );
        assert!(polls.iter().all(|(_, poll)| !poll.is_finished()));
        assert_eq!(farm.farm().parked_polls(), left);
    }
}

async fn a_job_passes_over_those_who_wait_and_cannot_take_it(backend: Backend) {
    let farm = patient_farm(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let plain = park(&farm, &api.register_runner(&farm).await).await;
    let able = park(&farm, &api.register_tagged_runner(&farm, "gpu").await).await;
    farm.build_with_tags(&project, "gpu").await;
    answered(able).await.is(201);
    assert!(!plain.is_finished());
    assert_eq!(farm.farm().parked_polls(), 1);
}

async fn a_lost_job_wakes_a_runner_that_did_not_lose_it(backend: Backend) {
    let farm = patient_farm(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let (slow, fresh) = (
        api.register_runner(&farm).await,
        api.register_runner(&farm).await,
    );
    farm.build(&project).await;
    let lost = slow.claim().await;
    // The one that will lose the job has waited longest when there is another attempt.
    let first = park(&farm, &slow).await;
    let second = park(&farm, &fresh).await;
    farm.advance(91);
    farm.expire_leases().await;
    let next = Claim::read(&fresh, &answered(second).await);
    assert_eq!(farm.job(next.id).await.retries, Some(lost.id));
    assert!(!first.is_finished());
}

async fn a_poll_without_a_value_is_never_held(backend: Backend) {
    let farm = patient_farm(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let poll = async {
        runner.poll().await.no_job();
        runner.poll_with_queue_key("").await.no_job();
        runner
            .poll_with_queue_key("of another start")
            .await
            .no_job();
    };
    timeout(SOON, poll).await.expect("answers at once");
}

async fn a_stopping_coordinator_answers_held_polls(backend: Backend) {
    let mut farm = patient_farm(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let poll = park(&farm, &runner).await;
    farm.restart().await;
    let value = answered(poll).await.no_job();
    // The next coordinator does not hold the runner for a value of the last one.
    let runner = Runner {
        api: RunnerApi::new(&farm),
        ..runner
    };
    let next = timeout(SOON, runner.poll_with_queue_key(&value)).await;
    assert_ne!(next.expect("an answer at once").no_job(), value);
    farm.build(&project).await;
    runner.claim().await;
}

async fn a_runner_that_is_paused_while_it_waits_takes_nothing(backend: Backend) {
    let farm = patient_farm(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let (paused, other) = (
        api.register_runner(&farm).await,
        api.register_runner(&farm).await,
    );
    let poll = park(&farm, &paused).await;
    let other_poll = park(&farm, &other).await;
    farm.pause_runner(paused.id).await;
    let build = farm.build(&project).await;
    let answer = answered(poll).await.is_error(404, "404 Not Found");
    assert_eq!(answer.queue_key(), None);
    let claim = Claim::read(&other, &answered(other_poll).await);
    assert_eq!(claim.id, farm.jobs(&build).await[0].id);
}

async fn a_runner_that_is_removed_while_it_waits_takes_nothing(backend: Backend) {
    let farm = patient_farm(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let (removed, other) = (
        api.register_runner(&farm).await,
        api.register_runner(&farm).await,
    );
    let poll = park(&farm, &removed).await;
    let body = json!({"token": removed.token});
    api.json(Method::DELETE, "/runners/delete", &body)
        .await
        .is(200);
    answered(poll).await.is_error(403, "403 Forbidden");
    farm.build(&project).await;
    other.claim().await;
}

async fn a_runner_whose_tags_change_while_it_waits_takes_what_it_can_take_now(backend: Backend) {
    let farm = patient_farm(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm)
        .register_tagged_runner(&farm, "arm")
        .await;
    let poll = park(&farm, &runner).await;
    let change = RunnerUpdate {
        tags: TagSet::from_list("gpu").ok(),
        ..RunnerUpdate::default()
    };
    farm.change_runner(runner.id, change).await;
    let old = farm.build_with_tags(&project, "arm").await;
    let new = farm.build_with_tags(&project, "gpu").await;
    // A change ends the wait with a new value, or the wait goes on as what the runner is now.
    let mut answer = answered(poll).await;
    if answer.status == 204 {
        answer = runner.poll().await;
    }
    assert_eq!(
        Claim::read(&runner, &answer).id,
        farm.jobs(&new).await[0].id
    );
    assert_eq!(farm.jobs(&old).await[0].state.name(), "pending");
}

//! Polls that the coordinator holds until a job is pending, and which of them a new job wakes.
//!
//! See `docs/protocols/runner-v1.md#long-polling`.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

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
    held_poll_claims_a_new_job_at_once,
    one_new_job_wakes_one_held_poll,
    new_job_does_not_wake_polls_of_unsuitable_runners,
    new_attempt_wakes_a_runner_that_did_not_lose_the_job,
    held_poll_gets_the_job_that_its_runner_lost_after_some_time,
    poll_without_a_current_queue_key_is_never_held,
    stopping_the_coordinator_answers_held_polls,
    runner_paused_during_a_held_poll_claims_nothing,
    runner_deleted_during_a_held_poll_claims_nothing,
    runner_retagged_during_a_held_poll_claims_only_matching_jobs,
);

/// Longer than any step of these tests takes, and far shorter than a poll is held.
const SOON: Duration = Duration::from_secs(8);

/// A farm that holds polls for longer than any of these tests runs.
async fn farm_with_long_polls(backend: Backend) -> TestFarm {
    TestFarm::start_with(backend, |config| {
        config.limits.poll_wait_s = Duration::from_secs(60);
    })
    .await
}

/// Polls with the current queue key and returns once the coordinator holds the poll.
async fn hold_poll(farm: &TestFarm, runner: &Runner) -> JoinHandle<ApiResponse> {
    let (key, before) = (runner.expect_no_job().await, farm.farm().parked_polls());
    let runner = runner.clone();
    let poll = tokio::spawn(async move { runner.poll_with_queue_key(&key).await });
    wait_until(SOON, "the poll is held", async || {
        farm.farm().parked_polls() > before
    })
    .await;
    poll
}

async fn finished(poll: JoinHandle<ApiResponse>) -> ApiResponse {
    timeout(SOON, poll).await.expect("a response soon").unwrap()
}

async fn held_poll_claims_a_new_job_at_once(backend: Backend) {
    let farm = farm_with_long_polls(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let poll = hold_poll(&farm, &runner).await;
    let build = farm.build(&project).await;
    let response = finished(poll).await;
    assert_eq!(response.queue_key(), None);
    let claim = Claim::read(&runner, &response);
    assert_eq!(claim.id, farm.jobs(&build).await[0].id);
    assert_eq!(farm.farm().parked_polls(), 0);
}

async fn one_new_job_wakes_one_held_poll(backend: Backend) {
    let farm = farm_with_long_polls(backend).await;
    let project = farm.project("acme/api").await;
    let mut polls = Vec::new();
    for _ in 0..4 {
        let runner = RunnerApi::new(&farm).register_runner(&farm).await;
        polls.push((runner.id, hold_poll(&farm, &runner).await));
    }
    // Polls are woken in the order of arrival, each by its own job.
    for left in (0..4).rev() {
        let build = farm.build(&project).await;
        assert_eq!(farm.farm().parked_polls(), left);
        let (runner, poll) = polls.remove(0);
        let response = finished(poll).await.is(201);
        let job = farm.jobs(&build).await.remove(0);
        assert_eq!(
            (response.json()["id"].as_i64(), job.runner),
            (Some(job.id.0), Some(runner))
        );
        assert!(polls.iter().all(|(_, poll)| !poll.is_finished()));
        assert_eq!(farm.farm().parked_polls(), left);
    }
}

async fn new_job_does_not_wake_polls_of_unsuitable_runners(backend: Backend) {
    let farm = farm_with_long_polls(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let plain = hold_poll(&farm, &api.register_runner(&farm).await).await;
    let able = hold_poll(&farm, &api.register_tagged_runner(&farm, "gpu").await).await;
    farm.build_with_tags(&project, "gpu").await;
    finished(able).await.is(201);
    assert!(!plain.is_finished());
    assert_eq!(farm.farm().parked_polls(), 1);
}

async fn new_attempt_wakes_a_runner_that_did_not_lose_the_job(backend: Backend) {
    let farm = farm_with_long_polls(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let (slow, fresh) = (
        api.register_runner(&farm).await,
        api.register_runner(&farm).await,
    );
    farm.build(&project).await;
    let lost = slow.claim().await;
    // The runner that loses the job has waited longest when the new attempt becomes pending.
    let first = hold_poll(&farm, &slow).await;
    let second = hold_poll(&farm, &fresh).await;
    farm.advance(91);
    farm.expire_leases().await;
    let next = Claim::read(&fresh, &finished(second).await);
    assert_eq!(farm.job(next.id).await.retries, Some(lost.id));
    assert!(!first.is_finished());
}

async fn held_poll_gets_the_job_that_its_runner_lost_after_some_time(backend: Backend) {
    let farm = farm_with_long_polls(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let runner = api.register_runner(&farm).await;
    farm.build(&project).await;
    let lost = runner.claim().await;
    farm.advance(91);
    // Without another runner, the one that lost the job would get it again at once.
    api.register_runner(&farm).await.expect_no_job().await;
    farm.expire_leases().await;
    let poll = hold_poll(&farm, &runner).await;
    farm.farm().look_for_parked_polls().await.unwrap();
    // It was woken, may not take the job yet, and waits again.
    wait_until(SOON, "the poll is held again", async || {
        farm.farm().parked_polls() == 1
    })
    .await;
    farm.advance(3600);
    farm.farm().look_for_parked_polls().await.unwrap();
    let next = Claim::read(&runner, &finished(poll).await);
    assert_eq!(farm.job(next.id).await.retries, Some(lost.id));
}

async fn poll_without_a_current_queue_key_is_never_held(backend: Backend) {
    let farm = farm_with_long_polls(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let poll = async {
        runner.poll().await.no_job();
        runner.poll_with_queue_key("").await.no_job();
        runner
            .poll_with_queue_key("key of an earlier coordinator process")
            .await
            .no_job();
    };
    timeout(SOON, poll).await.expect("responses at once");
}

async fn stopping_the_coordinator_answers_held_polls(backend: Backend) {
    let mut farm = farm_with_long_polls(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let poll = hold_poll(&farm, &runner).await;
    farm.restart().await;
    let key = finished(poll).await.no_job();
    // A queue key of the previous coordinator does not hold a poll at the next one.
    let runner = Runner {
        api: RunnerApi::new(&farm),
        ..runner
    };
    let next = timeout(SOON, runner.poll_with_queue_key(&key)).await;
    assert_ne!(next.expect("a response at once").no_job(), key);
    farm.build(&project).await;
    runner.claim().await;
}

async fn runner_paused_during_a_held_poll_claims_nothing(backend: Backend) {
    let farm = farm_with_long_polls(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let (paused, other) = (
        api.register_runner(&farm).await,
        api.register_runner(&farm).await,
    );
    let poll = hold_poll(&farm, &paused).await;
    let other_poll = hold_poll(&farm, &other).await;
    farm.pause_runner(paused.id).await;
    let build = farm.build(&project).await;
    let response = finished(poll).await.fails_with(404, "404 Not Found");
    assert_eq!(response.queue_key(), None);
    let claim = Claim::read(&other, &finished(other_poll).await);
    assert_eq!(claim.id, farm.jobs(&build).await[0].id);
}

async fn runner_deleted_during_a_held_poll_claims_nothing(backend: Backend) {
    let farm = farm_with_long_polls(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let (deleted, other) = (
        api.register_runner(&farm).await,
        api.register_runner(&farm).await,
    );
    let poll = hold_poll(&farm, &deleted).await;
    let body = json!({"token": deleted.token});
    api.json(Method::DELETE, "/runners/delete", &body)
        .await
        .is(200);
    finished(poll).await.fails_with(403, "403 Forbidden");
    farm.build(&project).await;
    other.claim().await;
}

async fn runner_retagged_during_a_held_poll_claims_only_matching_jobs(backend: Backend) {
    let farm = farm_with_long_polls(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm)
        .register_tagged_runner(&farm, "arm")
        .await;
    let poll = hold_poll(&farm, &runner).await;
    let change = RunnerUpdate {
        tags: TagSet::from_list("gpu").ok(),
        ..RunnerUpdate::default()
    };
    farm.change_runner(runner.id, change).await;
    let old = farm.build_with_tags(&project, "arm").await;
    let new = farm.build_with_tags(&project, "gpu").await;
    // The change either ends the held poll with a new key, or the poll continues with the new tags.
    let mut response = finished(poll).await;
    if response.status == 204 {
        response = runner.poll().await;
    }
    assert_eq!(
        Claim::read(&runner, &response).id,
        farm.jobs(&new).await[0].id
    );
    assert_eq!(farm.jobs(&old).await[0].state.name(), "pending");
}

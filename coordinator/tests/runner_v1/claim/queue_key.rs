//! The queue key in `X-GitLab-Last-Update` and `last_update`.
//!
//! See `docs/protocols/runner-v1.md#queue-key`.

use slipway_domain::TagSet;
use slipway_farm::RunnerUpdate;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::RunnerApi;

on_both_back_ends!(
    queue_key_stays_the_same_while_nothing_changes,
    poll_with_an_outdated_queue_key_claims_the_new_job,
    each_runner_has_its_own_queue_key,
    changing_a_runner_changes_its_queue_key,
);

async fn queue_key_stays_the_same_while_nothing_changes(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let key = runner.expect_no_job().await;
    assert_eq!(runner.poll_with_queue_key(&key).await.no_job(), key);
    assert_eq!(runner.poll().await.no_job(), key);
}

async fn poll_with_an_outdated_queue_key_claims_the_new_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let key = runner.expect_no_job().await;
    let build = farm.build(&project).await;
    let response = runner.poll_with_queue_key(&key).await.is(201);
    assert_eq!(response.queue_key(), None);
    let job = farm.jobs(&build).await.remove(0);
    assert_eq!(response.json()["id"], job.id.0);
    assert_eq!(job.state.name(), "running");
    assert_eq!(job.runner, Some(runner.id));
    assert!(job.started_at.is_some());
    // The client still has the old key and polls with it again after the claim.
    let next = runner.poll_with_queue_key(&key).await.no_job();
    assert_ne!(next, key);
}

async fn each_runner_has_its_own_queue_key(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    let (one, two) = (
        api.register_runner(&farm).await,
        api.register_runner(&farm).await,
    );
    let (first, second) = (one.expect_no_job().await, two.expect_no_job().await);
    assert_ne!(first, second);
    // Some client versions share one key between all runners. Such a poll must not be held; the
    // response has the right key.
    assert_eq!(one.poll_with_queue_key(&second).await.no_job(), first);
}

async fn changing_a_runner_changes_its_queue_key(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm)
        .register_tagged_runner(&farm, "x")
        .await;
    let mut key = runner.expect_no_job().await;
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
        let next = runner.poll_with_queue_key(&key).await.no_job();
        assert_ne!(next, key, "{change:?}");
        key = next;
    }
}

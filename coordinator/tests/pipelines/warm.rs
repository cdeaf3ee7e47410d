//! Jobs go to runners that built their project lately, and wait for none.

use std::time::Duration;

use slipway_testkit::{Backend, TestFarm, on_both_back_ends, wait_until};

use crate::hands::Hands;

const LIMIT: Duration = Duration::from_secs(20);

on_both_back_ends!(one_that_built_the_project_is_called_first_and_no_job_waits_for_it);

async fn until_parked(farm: &TestFarm, count: i64) {
    wait_until(LIMIT, "the runners wait", || async {
        farm.farm().figures().await.unwrap().parked_polls == count
    })
    .await;
}

async fn one_that_built_the_project_is_called_first_and_no_job_waits_for_it(backend: Backend) {
    let farm = TestFarm::start_with(backend, |config| {
        config.limits.poll_wait_s = LIMIT;
    })
    .await;
    let (ours, other) = (
        farm.project("acme/api").await,
        farm.project("acme/web").await,
    );
    let (cold, warm) = (Hands::of(&farm).await, Hands::of(&farm).await);
    farm.build(&ours).await;
    warm.succeed(warm.claim_named("image").await).await;

    // The one that has waited longest has built another project.
    farm.build(&other).await;
    cold.succeed(cold.claim_named("image").await).await;
    let wait = |hands: &Hands| {
        let hands = hands.clone();
        tokio::spawn(async move { hands.wait().await })
    };
    let first = wait(&cold);
    until_parked(&farm, 1).await;
    let second = wait(&warm);
    until_parked(&farm, 2).await;
    let build = farm.build(&ours).await;
    let claimed = second.await.unwrap().unwrap();
    assert_eq!(claimed.build.id, build.id);
    assert!(!first.is_finished());

    // It is busy now, and another is called for the next one, long before it would look by itself.
    let began = farm.farm().figures().await.unwrap();
    assert_eq!((began.running, began.parked_polls), (1, 1));
    let build = farm.build(&ours).await;
    let claimed = first.await.unwrap().unwrap();
    assert_eq!(claimed.build.id, build.id);
    let waited = claimed.job.started_at.unwrap() - claimed.job.queued_at.unwrap();
    assert!(waited.num_seconds() < 5, "{waited}");
}

//! How runners learn that a job was canceled.
//!
//! See `docs/protocols/runner-v1.md#cancellation`.

use serde_json::json;
use slipway_domain::BuildState;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claim, RunnerApi};

on_both_back_ends!(
    canceled_pending_job_is_never_claimed,
    final_update_of_a_canceled_job_returns_404,
    chunk_of_a_canceled_job_returns_build_status_canceled,
);

async fn canceled_pending_job_is_never_claimed(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm.build(&project).await;
    let id = farm.jobs(&build).await[0].id;
    farm.cancel(id).await;
    let job = farm.job(id).await;
    assert_eq!((job.state.name(), job.runner), ("canceled", None));
    assert!(job.finished_at.is_some());
    assert_eq!(farm.build_now(&build).await.state, BuildState::Canceled);
    RunnerApi::new(&farm)
        .register_runner(&farm)
        .await
        .expect_no_job()
        .await;
}

async fn final_update_of_a_canceled_job_returns_404(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    farm.cancel(claim.id).await;
    let before = farm.job(claim.id).await;
    assert_eq!(before.state.name(), "canceled");
    let end = json!({"state": "failed", "trace": "too late"});
    claim.put(end).await.fails_with(404, "404 Not found");
    let after = farm.job(claim.id).await;
    assert_eq!(
        (after.state, after.finished_at),
        (before.state, before.finished_at)
    );
    assert_eq!(farm.trace(claim.id).await, b"");
}

async fn chunk_of_a_canceled_job_returns_build_status_canceled(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.patch("0-11", "hello world").await.is(202);
    farm.cancel(claim.id).await;
    for (range, chunk) in [("11-12", "!"), ("12-12", "")] {
        let response = claim.patch(range, chunk).await.is(202);
        assert_eq!(response.header("Build-Status"), Some("canceled"));
        assert_eq!(response.header("Range"), Some("0-12"));
    }
    assert_eq!(farm.trace(claim.id).await, b"hello world!");
    assert_eq!(farm.job(claim.id).await.state.name(), "canceled");
}

//! A clock that somebody sets, or that jumps because the host was suspended.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use slipway_domain::{FailureReason, JobState, Outcome};
use slipway_farm::Clock;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Claim};
use crate::slipway_runner::SlipwayRunner;

on_both_back_ends!(
    a_jump_in_either_direction_loses_no_running_job,
    a_job_without_reports_is_lost_in_time_after_a_jump,
    a_jump_while_the_farm_restarts_loses_no_job_and_keeps_no_dead_one,
    a_build_keeps_its_time_limit_after_a_jump,
    what_expires_soon_outlives_a_jump,
    files_outlive_a_jump_that_is_taken_back,
);

const HOUR: i64 = 3600;

async fn claim(farm: &TestFarm) -> Claim {
    let project = farm.project("acme/api").await;
    farm.build(&project).await;
    SlipwayRunner::register(farm).await.claim().await
}

async fn heartbeat(claim: &Claim) {
    claim.put(json!({"state": "running"})).await.is(200);
}

/// Asserts that the duty, which also runs by itself, ends the job.
async fn assert_lost(farm: &TestFarm, claim: &Claim) {
    farm.expire_leases().await;
    let state = farm.job(claim.id).await.state;
    let lost = JobState::Done(Outcome::Failed(FailureReason::RunnerLost));
    assert_eq!(state, lost);
}

async fn a_jump_in_either_direction_loses_no_running_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = claim(&farm).await;
    for jump in [
        2 * HOUR,
        -2 * HOUR,
        24 * HOUR,
        5,
        -30 * HOUR,
        100_000 * HOUR,
    ] {
        farm.jump(jump);
        assert_eq!(farm.expire_leases().await, 0, "{jump}");
        // Time to come back, as after a start.
        farm.advance(20);
        assert_eq!(farm.expire_leases().await, 0, "{jump}");
        for _ in 0..6 {
            heartbeat(&claim).await;
            farm.advance(8);
            assert_eq!(farm.expire_leases().await, 0, "{jump}");
        }
        heartbeat(&claim).await;
    }
    claim.succeed().await;
}

async fn a_job_without_reports_is_lost_in_time_after_a_jump(backend: Backend) {
    for jump in [2 * HOUR, -2 * HOUR] {
        let farm = TestFarm::start(backend).await;
        let silent = claim(&farm).await;
        farm.jump(jump);
        assert_eq!(farm.expire_leases().await, 0);
        // Seen by the duty, whose first look begins the time.
        assert_eq!(farm.expire_leases().await, 0);
        farm.advance(31);
        assert_lost(&farm, &silent).await;
        silent.put(json!({"state": "running"})).await.is(404);
        // Leases of jobs that are claimed now are as long as ever.
        let next = SlipwayRunner::register(&farm).await.claim().await;
        assert_eq!(farm.expire_leases().await, 0);
        farm.advance(8);
        assert_eq!(farm.expire_leases().await, 0);
        heartbeat(&next).await;
        assert_eq!(farm.expire_leases().await, 0);
        farm.advance(16);
        assert_lost(&farm, &next).await;
    }
}

async fn a_jump_while_the_farm_restarts_loses_no_job_and_keeps_no_dead_one(backend: Backend) {
    let mut farm = TestFarm::start(backend).await;
    let living = claim(&farm).await;
    let silent = claim(&farm).await;
    for jump in [2 * HOUR, -2 * HOUR] {
        farm.jump(jump);
        farm.restart().await;
        assert_eq!(farm.expire_leases().await, 0, "{jump}");
        farm.advance(20);
        let living = at(&farm, &living);
        heartbeat(&living).await;
        assert_eq!(farm.expire_leases().await, 0, "{jump}");
    }
    farm.advance(11);
    assert_lost(&farm, &silent).await;
    heartbeat(&at(&farm, &living)).await;
    at(&farm, &silent)
        .put(json!({"state": "running"}))
        .await
        .is(404);
}

/// A claim, reported where the farm serves now.
fn at(farm: &TestFarm, claim: &Claim) -> Claim {
    let mut claim = claim.clone();
    claim.runner.api.base = farm.url("");
    claim
}

async fn a_build_keeps_its_time_limit_after_a_jump(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    farm.project("acme/api").await;
    let graph = json!({
        "version": "0", "timeout_seconds": 100,
        "steps": [{"type": "command", "key": "a", "cmd": "make a"}],
    });
    let path = "/api/v0/organizations/acme/pipelines/api/builds";
    let create = farm.http.post(farm.url(path));
    let create = create.bearer_auth(&farm.admin_token).json(&json!({
        "branch": "main", "commit": "6c1d3f0e9a", "pipeline_ir": graph.to_string(),
    }));
    ApiResponse::to(create).await.is(201);
    let claim = SlipwayRunner::register(&farm).await.claim().await;
    heartbeat(&claim).await;
    let expired = async || farm.farm().expire_builds().await.unwrap();
    farm.advance(50);
    heartbeat(&claim).await;
    farm.jump(2 * HOUR);
    assert_eq!(expired().await, 0);
    assert_eq!(farm.expire_leases().await, 0);
    assert_eq!(expired().await, 0);
    farm.advance(40);
    heartbeat(&claim).await;
    assert_eq!(expired().await, 0);
    farm.advance(11);
    expired().await;
    let timed_out = JobState::Done(Outcome::Failed(FailureReason::TimedOut));
    assert_eq!(farm.job(claim.id).await.state, timed_out);
}

async fn what_expires_soon_outlives_a_jump(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    farm.project("acme/api").await;
    let created = farm.http.post(farm.url("/api/v1/filedrop/"));
    let created = created.bearer_auth(&farm.admin_token);
    let created = ApiResponse::to(created.json(&json!({"mimeType": "text/plain"}))).await;
    let upload = created.is(200).json();
    let put = async || {
        let put = farm.http.put(upload["url"].as_str().unwrap());
        ApiResponse::to(put.header(CONTENT_TYPE, "text/plain").body("FROM scratch")).await
    };
    farm.jump(2 * HOUR);
    assert_eq!(farm.farm().expire_uploads().await.unwrap(), 0);
    put().await.is(200);
    // An hour is the lifetime of the link, whatever the clock did.
    farm.advance(HOUR / 2);
    put().await.is(200);
    farm.jump(-HOUR);
    put().await.is(200);
    farm.jump(HOUR);
    farm.advance(HOUR / 2 + 1);
    put().await.is(403);
}

async fn files_outlive_a_jump_that_is_taken_back(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = claim(&farm).await;
    let uploaded = claim.upload("expire_in=1+day", "a.zip", b"x").await;
    uploaded.is(201);
    claim.succeed().await;
    let count = async || farm.artifacts(claim.id).await.len();
    farm.jump(10_000 * HOUR);
    farm.advance(50 * 60);
    assert_eq!(farm.farm().expire_artifacts().await.unwrap(), 0);
    assert_eq!(count().await, 1);
    farm.jump(-10_000 * HOUR);
    farm.advance(2 * HOUR);
    assert_eq!(farm.farm().expire_artifacts().await.unwrap(), 0);
    assert_eq!(count().await, 1);
    // A clock that stays ahead is believed.
    farm.jump(10_000 * HOUR);
    assert_eq!(count().await, 1);
    farm.advance(HOUR + 1);
    farm.farm().expire_artifacts().await.unwrap();
    let content = format!("/v1/jobs/{}/artifacts", claim.id);
    let listed = farm.http.request(Method::GET, farm.url(&content));
    let listed = ApiResponse::to(listed.bearer_auth(&farm.admin_token)).await;
    assert_eq!(listed.is(200).json()["items"], json!([]));
}

/// The clock of one coordinator is wrong, and that of the other one on the same database is right.
mod postgres_two_coordinators {
    use super::*;

    #[tokio::test]
    async fn a_wrong_clock_ends_no_job_of_another_coordinator() {
        let farm = TestFarm::start(Backend::Postgres).await;
        let clock = Clock::manual();
        let second = farm.second_coordinator_with(&clock).await;
        let claim = claim(&farm).await;
        let advance = |seconds: i64| {
            farm.advance(seconds);
            clock.advance(chrono::TimeDelta::seconds(seconds));
        };
        clock.jump(chrono::TimeDelta::hours(2));
        let expire = async || {
            let here = farm.expire_leases().await;
            here + second.farm.expire_leases().await.unwrap()
        };
        assert_eq!(expire().await, 0);
        for _ in 0..12 {
            advance(8);
            heartbeat(&claim).await;
            assert_eq!(expire().await, 0);
        }
        // Without reports, the job is lost.
        advance(31);
        expire().await;
        assert_lost(&farm, &claim).await;
        second.stop().await.unwrap();
    }
}

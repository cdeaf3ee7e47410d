//! Leases of stock runners, and late updates of lost jobs.
//!
//! See `docs/protocols/runner-v1.md#leases`.

use reqwest::Method;
use serde_json::json;
use slipway_domain::{BuildState, FailureReason, JobState, Outcome};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::RunnerApi;

on_both_back_ends!(
    job_without_updates_is_lost_and_retried,
    late_updates_of_a_lost_job_do_not_change_the_next_attempt,
    runner_0_5_keeps_a_silent_job_for_an_hour,
);

/// The lease of a stock runner, in seconds.
const LEASE_S: i64 = 90;

const LOST: JobState = JobState::Done(Outcome::Failed(FailureReason::RunnerLost));

async fn job_without_updates_is_lost_and_retried(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm.build(&project).await;
    let api = RunnerApi::new(&farm);
    let silent = api.register_runner(&farm).await.claim().await;
    farm.advance(LEASE_S - 30);
    farm.expire_leases().await;
    assert_eq!(farm.job(silent.id).await.state.name(), "running");
    farm.advance(31);
    farm.expire_leases().await;
    assert_eq!(farm.job(silent.id).await.state, LOST);
    let jobs = farm.jobs(&build).await;
    assert_eq!(jobs.len(), 2);
    let next = api.register_runner(&farm).await.claim().await;
    assert_eq!(next.id, jobs[1].id);
    assert_ne!(next.token, silent.token);
}

async fn late_updates_of_a_lost_job_do_not_change_the_next_attempt(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm.build(&project).await;
    let api = RunnerApi::new(&farm);
    let (slow, fresh) = (
        api.register_runner(&farm).await,
        api.register_runner(&farm).await,
    );
    let first = slow.claim().await;
    first.patch("0-5", "hello").await.is(202);
    farm.advance(LEASE_S + 1);
    farm.expire_leases().await;
    assert_eq!(farm.job(first.id).await.state, LOST);
    // The runner that lost the job may not claim the next attempt for a while; another one does.
    slow.expect_no_job().await;
    let second = fresh.claim().await;
    assert_ne!((second.id, &second.token), (first.id, &first.token));
    // Late updates of the slow runner change neither its own job nor the new attempt.
    let end = json!({"state": "success", "trace": "forged"});
    first
        .put(end.clone())
        .await
        .fails_with(404, "404 Not found");
    slow.put(second.id, end)
        .await
        .fails_with(404, "404 Not found");
    let response = first.patch("5-6", "!").await.is(202);
    assert_eq!(response.header("Build-Status"), Some("failed"));
    let mut forged = second.clone();
    forged.token.clone_from(&first.token);
    forged.patch("0-1", "x").await.is(403);
    forged.upload("", "a.zip", b"zip").await.is(403);
    let response = first.upload("", "a.zip", b"zip").await;
    response.fails_with(403, "403 Forbidden  - Build is not running!");
    assert_eq!(farm.job(first.id).await.state, LOST);
    assert_eq!(farm.job(second.id).await.state.name(), "running");
    assert_eq!(farm.trace(second.id).await, b"");
    assert!(farm.artifacts(second.id).await.is_empty());
    // The third attempt is the last.
    farm.advance(LEASE_S + 1);
    farm.expire_leases().await;
    let third = slow.claim().await;
    assert_eq!(farm.job(third.id).await.attempt, 3);
    farm.advance(LEASE_S + 1);
    farm.expire_leases().await;
    let states: Vec<JobState> = farm
        .jobs(&build)
        .await
        .iter()
        .map(|job| job.state)
        .collect();
    assert_eq!(states, [LOST, LOST, LOST]);
    assert_eq!(farm.build_now(&build).await.state, BuildState::Failed);
    fresh.expect_no_job().await;
}

async fn runner_0_5_keeps_a_silent_job_for_an_hour(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    farm.build(&project).await;
    let api = RunnerApi::new(&farm).with_user_agent(Some("Go 1.1 package http"));
    let info = json!({"name": "gitlab-ci-multi-runner", "version": "0.5.5"});
    let body = json!({"token": farm.registration_token, "info": info});
    let path = "/runners/register.json";
    let response = api.json(Method::POST, path, &body).await.is(201);
    let body = json!({"token": response.json()["token"], "info": info});
    let path = "/builds/register.json";
    api.json(Method::POST, path, &body).await.is(201);
    farm.advance(LEASE_S + 1);
    assert_eq!(farm.expire_leases().await, 0);
    farm.advance(3600);
    assert_eq!(farm.expire_leases().await, 1);
}

mod postgres_failing_write {
    use super::*;

    #[tokio::test]
    async fn job_that_cannot_be_ended_does_not_keep_others_from_being_lost() {
        let farm = TestFarm::start(Backend::Postgres).await;
        let project = farm.project("acme/api").await;
        let api = RunnerApi::new(&farm);
        let mut claims = Vec::new();
        for _ in 0..3 {
            farm.build(&project).await;
            claims.push(api.register_runner(&farm).await.claim().await);
        }
        let stuck = claims[0].id;
        let database = farm.database.as_ref().unwrap();
        database
            .execute(&format!(
                "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'no'; END $$;
                 CREATE TRIGGER fail BEFORE UPDATE ON jobs FOR EACH ROW
                 WHEN (OLD.id = {}) EXECUTE FUNCTION fail()",
                stuck.0
            ))
            .await;
        farm.advance(LEASE_S + 1);
        assert_eq!(farm.expire_leases().await, 2);
        assert_eq!(farm.job(stuck).await.state.name(), "running");
        for claim in &claims[1..] {
            assert_eq!(farm.job(claim.id).await.state, LOST);
        }
        database.execute("DROP TRIGGER fail ON jobs").await;
        assert_eq!(farm.expire_leases().await, 1);
        assert_eq!(farm.job(stuck).await.state, LOST);
    }
}

//! States of jobs and builds.
//!
//! See `docs/protocols/harmont.md#states`.

use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{BUILDS, Fixture, independent_steps, two_steps};

on_both_back_ends!(
    states_follow_the_jobs_from_scheduled_to_passed,
    failed_job_skips_the_jobs_that_need_it,
    build_is_failing_while_other_jobs_run,
    late_reports_change_nothing,
    build_timeout_counts_from_the_first_started_job,
    retry_restarts_the_build_timeout,
);

async fn states_follow_the_jobs_from_scheduled_to_passed(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let number = fixture.create_build(&two_steps()).await;
    assert_eq!(fixture.job_states(number).await, ["scheduled", "pending"]);
    assert_eq!(fixture.read_build(number).await["state"], "scheduled");
    let runner = fixture.register_runner().await;
    let claim = runner.claim().await;
    assert_eq!(fixture.job_states(number).await, ["assigned", "pending"]);
    let begin = json!({"state": "running", "phase": "building"});
    claim.put(begin.clone()).await.is(200);
    assert_eq!(fixture.job_states(number).await, ["running", "pending"]);
    let build = fixture.read_build(number).await;
    assert_eq!(build["state"], "running");
    let started = build["started_at"].clone();
    assert!(started.is_string());
    fixture.farm.advance(1);
    // The second step runs in the image of the first.
    let kept = claim.payload["own"]["spec"]["keep"].clone();
    let image = json!({"reference": kept, "digest": "sha256:1", "tags": [], "size_bytes": 1});
    let end = json!({"state": "success", "image": image});
    claim.put(end).await.is(200);
    let jobs = fixture.jobs(number).await;
    assert_eq!(
        (&jobs[0]["state"], &jobs[0]["exit_code"]),
        (&json!("passed"), &json!(0))
    );
    assert_eq!(jobs[1]["state"], "scheduled");
    assert_eq!(fixture.read_build(number).await["state"], "running");
    runner.start_job().await.succeed().await;
    let build = fixture.read_build(number).await;
    assert_eq!(
        (&build["state"], &build["started_at"]),
        (&json!("passed"), &started)
    );
    assert!(build["finished_at"].is_string());
}

async fn failed_job_skips_the_jobs_that_need_it(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let number = fixture.create_build(&two_steps()).await;
    let claim = fixture.register_runner().await.start_job().await;
    let end = json!({
        "state": "failed", "failure_reason": "job_failed", "exit_code": 3,
        "failure_message": "the command failed",
    });
    claim.put(end).await.is(200);
    let jobs = fixture.jobs(number).await;
    assert_eq!(
        (&jobs[0]["state"], &jobs[0]["exit_code"]),
        (&json!("failed"), &json!(3))
    );
    assert_eq!(jobs[0]["error_code"], Value::Null);
    assert_eq!(
        (&jobs[1]["state"], &jobs[1]["exit_code"]),
        (&json!("skipped"), &json!(null))
    );
    let build = fixture.read_build(number).await;
    assert_eq!(
        (&build["state"], &build["error_code"]),
        (&json!("failed"), &json!(null))
    );
    assert!(build["finished_at"].is_string());
}

async fn build_is_failing_while_other_jobs_run(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let number = fixture.create_build(&independent_steps(&["a", "b"])).await;
    let runner = fixture.register_runner().await;
    let (first, second) = (runner.start_job().await, runner.start_job().await);
    first.put(json!({"state": "failed"})).await.is(200);
    assert_eq!(fixture.read_build(number).await["state"], "failing");
    second.succeed().await;
    assert_eq!(fixture.read_build(number).await["state"], "failed");
}

async fn late_reports_change_nothing(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let number = fixture.create_build(&independent_steps(&["a"])).await;
    let claim = fixture.register_runner().await.start_job().await;
    claim.succeed().await;
    let (jobs, build) = (fixture.jobs(number).await, fixture.read_build(number).await);
    fixture.farm.advance(5);
    for late in ["failed", "success", "running"] {
        claim.put(json!({"state": late})).await.is(404);
    }
    assert_eq!(fixture.jobs(number).await, jobs);
    assert_eq!(fixture.read_build(number).await, build);
}

async fn build_timeout_counts_from_the_first_started_job(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut graph = two_steps();
    graph["timeout_seconds"] = 10.into();
    let number = fixture.create_build(&graph).await;
    // The timeout does not count before the first job has started.
    fixture.farm.advance(60);
    fixture.farm.farm().expire_builds().await.unwrap();
    assert_eq!(fixture.read_build(number).await["state"], "scheduled");
    let claim = fixture.register_runner().await.start_job().await;
    fixture.farm.advance(5);
    claim.put(json!({"state": "running"})).await.is(200);
    fixture.farm.farm().expire_builds().await.unwrap();
    assert_eq!(fixture.read_build(number).await["state"], "running");
    fixture.farm.advance(5);
    fixture.farm.farm().expire_builds().await.unwrap();
    for job in fixture.jobs(number).await {
        assert_eq!(job["state"], "timed_out", "{job}");
        assert_eq!(job["error_code"], "pipeline_timeout", "{job}");
    }
    let build = fixture.read_build(number).await;
    assert_eq!(build["state"], "failed");
    assert_eq!(build["error_code"], "pipeline_timeout");
    claim.put(json!({"state": "success"})).await.is(404);
    assert_eq!(fixture.read_build(number).await, build);
    let path = format!("{BUILDS}/{number}/cancel");
    let response = fixture.member.send_empty(reqwest::Method::PUT, &path).await;
    assert_eq!(response.is(200).json(), build);
}

async fn retry_restarts_the_build_timeout(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut graph = independent_steps(&["a", "b"]);
    graph["timeout_seconds"] = 10.into();
    let number = fixture.create_build(&graph).await;
    let runner = fixture.register_runner().await;
    runner.start_job().await.succeed().await;
    runner.start_job().await;
    fixture.farm.advance(10);
    fixture.farm.farm().expire_builds().await.unwrap();
    assert_eq!(fixture.job_states(number).await, ["passed", "timed_out"]);
    let project = fixture.farm.project("acme/web").await;
    let (admin, farm) = (fixture.farm.admin().await, fixture.farm.farm());
    let all = slipway_farm::Page {
        before: None,
        limit: 1,
    };
    let builds = farm
        .builds(&project, Default::default(), all)
        .await
        .unwrap();
    farm.retry_build(&admin, &project, &builds[0])
        .await
        .unwrap();
    let build = fixture.read_build(number).await;
    assert_eq!(
        (&build["state"], &build["error_code"]),
        (&json!("running"), &json!(null))
    );
    fixture.farm.farm().expire_builds().await.unwrap();
    assert_eq!(fixture.job_states(number).await, ["passed", "scheduled"]);
    fixture.farm.advance(10);
    fixture.farm.farm().expire_builds().await.unwrap();
    assert_eq!(fixture.job_states(number).await, ["passed", "timed_out"]);
}

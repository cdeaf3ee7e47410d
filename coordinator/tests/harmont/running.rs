//! What becomes of jobs and builds: checks 51 to 55, 57 and 58.

use serde_json::{Value, json};
use slipway_testkit::Backend;

use crate::support::{B, World, apart, g};

slipway_testkit::on_both_back_ends!(
    checks_51_to_53_jobs_run_one_after_the_other,
    check_54_a_failure_skips_what_needs_it,
    check_55_a_build_is_failing_while_something_runs,
    check_57_late_reports_change_nothing,
    check_58_a_build_has_only_so_much_time,
    a_build_that_is_tried_again_has_its_time_anew,
);

async fn checks_51_to_53_jobs_run_one_after_the_other(backend: Backend) {
    let world = World::start(backend).await;
    let number = world.build(&g()).await;
    assert_eq!(world.states(number).await, ["scheduled", "pending"]);
    assert_eq!(world.read(number).await["state"], "scheduled");
    let runner = world.runner().await;
    let claim = runner.claim().await;
    assert_eq!(world.states(number).await, ["assigned", "pending"]);
    let begin = json!({"state": "running", "phase": "building"});
    claim.put(begin.clone()).await.is(200);
    assert_eq!(world.states(number).await, ["running", "pending"]);
    let build = world.read(number).await;
    assert_eq!(build["state"], "running");
    let started = build["started_at"].clone();
    assert!(started.is_string());
    world.farm.advance(1);
    claim.succeed().await;
    let jobs = world.jobs(number).await;
    assert_eq!(
        (&jobs[0]["state"], &jobs[0]["exit_code"]),
        (&json!("passed"), &json!(0))
    );
    assert_eq!(jobs[1]["state"], "scheduled");
    assert_eq!(world.read(number).await["state"], "running");
    runner.begin().await.succeed().await;
    let build = world.read(number).await;
    assert_eq!(
        (&build["state"], &build["started_at"]),
        (&json!("passed"), &started)
    );
    assert!(build["finished_at"].is_string());
}

async fn check_54_a_failure_skips_what_needs_it(backend: Backend) {
    let world = World::start(backend).await;
    let number = world.build(&g()).await;
    let claim = world.runner().await.begin().await;
    let end = json!({
        "state": "failed", "failure_reason": "job_failed", "exit_code": 3,
        "failure_message": "the command failed",
    });
    claim.put(end).await.is(200);
    let jobs = world.jobs(number).await;
    assert_eq!(
        (&jobs[0]["state"], &jobs[0]["exit_code"]),
        (&json!("failed"), &json!(3))
    );
    assert_eq!(jobs[0]["error_code"], Value::Null);
    assert_eq!(
        (&jobs[1]["state"], &jobs[1]["exit_code"]),
        (&json!("skipped"), &json!(null))
    );
    let build = world.read(number).await;
    assert_eq!(
        (&build["state"], &build["error_code"]),
        (&json!("failed"), &json!(null))
    );
    assert!(build["finished_at"].is_string());
}

async fn check_55_a_build_is_failing_while_something_runs(backend: Backend) {
    let world = World::start(backend).await;
    let number = world.build(&apart(&["a", "b"])).await;
    let runner = world.runner().await;
    let (first, second) = (runner.begin().await, runner.begin().await);
    first.put(json!({"state": "failed"})).await.is(200);
    assert_eq!(world.read(number).await["state"], "failing");
    second.succeed().await;
    assert_eq!(world.read(number).await["state"], "failed");
}

async fn check_57_late_reports_change_nothing(backend: Backend) {
    let world = World::start(backend).await;
    let number = world.build(&apart(&["a"])).await;
    let claim = world.runner().await.begin().await;
    claim.succeed().await;
    let (jobs, build) = (world.jobs(number).await, world.read(number).await);
    world.farm.advance(5);
    for late in ["failed", "success", "running"] {
        claim.put(json!({"state": late})).await.is(404);
    }
    assert_eq!(world.jobs(number).await, jobs);
    assert_eq!(world.read(number).await, build);
}

async fn check_58_a_build_has_only_so_much_time(backend: Backend) {
    let world = World::start(backend).await;
    let mut graph = g();
    graph["timeout_seconds"] = 10.into();
    let number = world.build(&graph).await;
    // Its time does not count before it begins.
    world.farm.advance(60);
    world.farm.farm().expire_builds().await.unwrap();
    assert_eq!(world.read(number).await["state"], "scheduled");
    let claim = world.runner().await.begin().await;
    world.farm.advance(5);
    claim.put(json!({"state": "running"})).await.is(200);
    world.farm.farm().expire_builds().await.unwrap();
    assert_eq!(world.read(number).await["state"], "running");
    world.farm.advance(5);
    world.farm.farm().expire_builds().await.unwrap();
    for job in world.jobs(number).await {
        assert_eq!(job["state"], "timed_out", "{job}");
        assert_eq!(job["error_code"], "pipeline_timeout", "{job}");
    }
    let build = world.read(number).await;
    assert_eq!(build["state"], "failed");
    assert_eq!(build["error_code"], "pipeline_timeout");
    claim.put(json!({"state": "success"})).await.is(404);
    assert_eq!(world.read(number).await, build);
    let path = format!("{B}/{number}/cancel");
    let answer = world.ana.empty(reqwest::Method::PUT, &path).await;
    assert_eq!(answer.is(200).json(), build);
}

async fn a_build_that_is_tried_again_has_its_time_anew(backend: Backend) {
    let world = World::start(backend).await;
    let mut graph = apart(&["a", "b"]);
    graph["timeout_seconds"] = 10.into();
    let number = world.build(&graph).await;
    let runner = world.runner().await;
    runner.begin().await.succeed().await;
    runner.begin().await;
    world.farm.advance(10);
    world.farm.farm().expire_builds().await.unwrap();
    assert_eq!(world.states(number).await, ["passed", "timed_out"]);
    let project = world.farm.project("acme/web").await;
    let (admin, farm) = (world.farm.admin().await, world.farm.farm());
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
    let build = world.read(number).await;
    assert_eq!(
        (&build["state"], &build["error_code"]),
        (&json!("running"), &json!(null))
    );
    world.farm.farm().expire_builds().await.unwrap();
    assert_eq!(world.states(number).await, ["passed", "scheduled"]);
    world.farm.advance(10);
    world.farm.farm().expire_builds().await.unwrap();
    assert_eq!(world.states(number).await, ["passed", "timed_out"]);
}

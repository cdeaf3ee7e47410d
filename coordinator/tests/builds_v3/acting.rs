//! Checks 40 to 51: what is done with builds.

use serde_json::{Value, json};
use slipway_domain::JobId;
use slipway_domain::When;
use slipway_testkit::farm::{SHA, jobs_named};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::support::{Claim, World, build_path};

on_both_back_ends!(
    check_40_a_pending_build_is_canceled_by_developers,
    check_41_a_canceled_build_tells_its_runner,
    check_42_what_is_over_stays_what_it_is,
    check_43_no_body_is_needed,
    check_44_a_retry_is_a_new_build,
    check_44_an_attempt_that_was_retried_may_be_retried_again,
    check_45_a_running_build_is_not_retried,
    check_46_a_retried_build_is_picked_up,
    check_47_an_erased_build_has_no_trace_and_no_artifacts,
    check_48_what_has_nothing_to_erase_is_not_erased,
    check_49_kept_artifacts_do_not_expire,
    check_50_nothing_to_keep_is_404,
    check_51_a_build_that_waits_for_somebody_is_played,
);

const NOT_RETRYABLE: &str = "403 Forbidden  - Build is not retryable";
const NOT_ERASABLE: &str = "403 Forbidden  - Build is not erasable!";

/// Does something to a build as the developer; gives the build that is answered.
async fn act(world: &World, id: JobId, what: &str, status: u16) -> Value {
    let answer = world.developer.post(&build_path(id, what)).await;
    answer.is(status).json()
}

async fn shown(world: &World, id: JobId) -> Value {
    world
        .developer
        .get(&build_path(id, ""))
        .await
        .is(200)
        .json()
}

async fn check_40_a_pending_build_is_canceled_by_developers(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.pending().await;
    for low in [&world.guest, &world.reporter] {
        let answer = low.post(&build_path(id, "/cancel")).await;
        answer.is_error(403, "403 Forbidden");
    }
    let build = act(&world, id, "/cancel", 201).await;
    assert_eq!(build["id"], id.0);
    assert_eq!(build["status"], "canceled");
    assert!(build["finished_at"].is_string());
    assert_eq!(build["started_at"], Value::Null);
    assert_eq!(build["pipeline"]["status"], "canceled");
}

async fn check_41_a_canceled_build_tells_its_runner(backend: Backend) {
    let world = World::start(backend).await;
    let claim = world.running().await;
    let build = act(&world, claim.id, "/cancel", 201).await;
    assert_eq!(build["status"], "canceled");
    assert!(build["started_at"].is_string());
    let answer = claim.patch("0-1", "x").await.is(202);
    assert_eq!(answer.header("Build-Status"), Some("canceled"));
}

async fn check_42_what_is_over_stays_what_it_is(backend: Backend) {
    let world = World::start(backend).await;
    for state in ["success", "failed"] {
        let claim = world.ended(state).await;
        let before = shown(&world, claim.id).await;
        assert_eq!(before["status"], state);
        let after = act(&world, claim.id, "/cancel", 201).await;
        assert_eq!(after, before);
    }
}

async fn check_43_no_body_is_needed(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.pending().await;
    let request = world
        .developer
        .request(reqwest::Method::POST, &build_path(id, "/cancel"));
    let request = request.build().unwrap();
    assert!(request.body().is_none());
    assert!(!request.headers().contains_key("content-type"));
    let answer = world.farm.http.execute(request).await.unwrap();
    assert_eq!(answer.status(), 201);
}

async fn check_44_a_retry_is_a_new_build(backend: Backend) {
    let world = World::start(backend).await;
    let claim = world.ended("failed").await;
    let old = shown(&world, claim.id).await;
    let new = act(&world, claim.id, "/retry", 201).await;
    assert_ne!(new["id"], old["id"]);
    assert_eq!(new["status"], "pending");
    assert_eq!(new["user"]["username"], "dora");
    for member in ["runner", "started_at", "finished_at", "artifacts_file"] {
        assert_eq!(new[member], Value::Null, "{member}");
    }
    for member in ["name", "stage", "ref", "tag", "commit"] {
        assert_eq!(new[member], old[member], "{member}");
    }
    assert_eq!(new["pipeline"]["id"], old["pipeline"]["id"]);
    let mut kept = shown(&world, claim.id).await;
    assert_eq!(kept["status"], "failed");
    // The pipeline has something to do again; nothing else of the old build changed.
    kept["pipeline"]["status"] = old["pipeline"]["status"].clone();
    assert_eq!(kept, old);
    let list = world.developer.get("/projects/1/builds").await;
    assert_eq!(list.ids(), [new["id"].as_i64().unwrap(), claim.id.0]);
}

async fn check_44_an_attempt_that_was_retried_may_be_retried_again(backend: Backend) {
    let world = World::start(backend).await;
    let first = world.ended("failed").await;
    let second = act(&world, first.id, "/retry", 201).await;
    // As long as the latest attempt is not over, it is the one that is not retryable.
    let answer = world.developer.post(&build_path(first.id, "/retry")).await;
    answer.is_error(403, NOT_RETRYABLE);
    let claim = world.runner().await.claim().await;
    assert_eq!(second["id"], claim.id.0);
    claim.succeed().await;
    let third = act(&world, first.id, "/retry", 201).await;
    assert_eq!(third["status"], "pending");
    assert!(third["id"].as_i64() > second["id"].as_i64());
}

async fn check_45_a_running_build_is_not_retried(backend: Backend) {
    let world = World::start(backend).await;
    let jobs = [("unit", &[][..]), ("later", &["unit"][..])];
    let jobs = world.build_jobs("master", SHA, &jobs).await;
    let claim = world.runner().await.claim().await;
    assert_eq!(claim.id, jobs[0]);
    // One runs, one is created; then one failed, and one is skipped.
    for id in &jobs {
        let answer = world.developer.post(&build_path(*id, "/retry")).await;
        answer.is_error(403, NOT_RETRYABLE);
    }
    claim.put(json!({"state": "failed"})).await.is(200);
    assert_eq!(shown(&world, jobs[1]).await["status"], "skipped");
    let answer = world.developer.post(&build_path(jobs[1], "/retry")).await;
    answer.is_error(403, NOT_RETRYABLE);
    let answer = world.reporter.post(&build_path(jobs[0], "/retry")).await;
    answer.is_error(403, "403 Forbidden");
    act(&world, jobs[0], "/retry", 201).await;
}

async fn check_46_a_retried_build_is_picked_up(backend: Backend) {
    let world = World::start(backend).await;
    world.farm.build_with_tags(&world.project, "big").await;
    let runner = crate::client::RunnerApi::new(&world.farm);
    let runner = runner.register_tagged_runner(&world.farm, "big").await;
    let claim = runner.claim().await;
    claim.put(json!({"state": "failed"})).await.is(200);
    let new = act(&world, claim.id, "/retry", 201).await;
    // Nobody without the tag gets it.
    world.runner().await.expect_no_job().await;
    let again: Claim = runner.claim().await;
    assert_eq!(new["id"], again.id.0);
    again.succeed().await;
    assert_eq!(shown(&world, again.id).await["status"], "success");
}

async fn check_47_an_erased_build_has_no_trace_and_no_artifacts(backend: Backend) {
    let world = World::start(backend).await;
    let claim = world.rich().await;
    let before = shown(&world, claim.id).await;
    let erased = act(&world, claim.id, "/erase", 201).await;
    let mut expected = before.clone();
    expected["artifacts_file"] = Value::Null;
    assert_eq!(erased, expected);
    for below in ["/trace", "/artifacts"] {
        let answer = world.developer.get(&build_path(claim.id, below)).await;
        answer.is_error(404, "404 Not Found");
    }
    // Its runner may send nothing more.
    let answer = claim.patch("5-6", "x").await;
    answer.is_text_error(403, "403 Forbidden  - Build has been erased!");
}

async fn check_48_what_has_nothing_to_erase_is_not_erased(backend: Backend) {
    let world = World::start(backend).await;
    let claim = world.rich().await;
    let erase = async |id| world.developer.post(&build_path(id, "/erase")).await;
    erase(claim.id).await.is(201);
    erase(claim.id).await.is_error(403, NOT_ERASABLE);
    let bare = world.ended("success").await;
    erase(bare.id).await.is_error(403, NOT_ERASABLE);
    let running = world.running().await;
    running.patch("0-5", "hello").await.is(202);
    erase(running.id).await.is_error(403, NOT_ERASABLE);
    let answer = world.reporter.post(&build_path(running.id, "/erase")).await;
    answer.is_error(403, "403 Forbidden");
}

async fn check_49_kept_artifacts_do_not_expire(backend: Backend) {
    let world = World::start(backend).await;
    let claim = world.running().await;
    let uploaded = claim
        .upload("expire_in=1+day", "artifacts.zip", b"PK")
        .await;
    uploaded.is(201);
    claim.succeed().await;
    let answer = world
        .reporter
        .post(&build_path(claim.id, "/artifacts/keep"))
        .await;
    answer.is_error(403, "403 Forbidden");
    // The second time changes nothing.
    for _ in 0..2 {
        let build = act(&world, claim.id, "/artifacts/keep", 200).await;
        assert_eq!(build["artifacts_file"]["size"], 2);
    }
    world.farm.advance(2 * 86_400);
    world.farm.farm().expire_artifacts().await.unwrap();
    let answer = world
        .developer
        .get(&build_path(claim.id, "/artifacts"))
        .await;
    assert_eq!(answer.is(200).body, "PK");
}

async fn check_50_nothing_to_keep_is_404(backend: Backend) {
    let world = World::start(backend).await;
    let none = world.ended("success").await;
    let late = world.running().await;
    let uploaded = late.upload("expire_in=1+day", "artifacts.zip", b"PK").await;
    uploaded.is(201);
    world.farm.advance(86_400);
    for id in [none.id, late.id, JobId(424_242)] {
        let path = build_path(id, "/artifacts/keep");
        let answer = world.developer.post(&path).await;
        answer.is_error(404, "404 Not Found");
    }
}

/// A build that waits for somebody to start it.
async fn manual(world: &World) -> JobId {
    let mut definition = jobs_named(&[("deploy", &[])]);
    definition.jobs[0].when = When::Manual;
    let build = world.farm.build_defined(&world.project, definition).await;
    world.farm.jobs(&build).await[0].id
}

async fn check_51_a_build_that_waits_for_somebody_is_played(backend: Backend) {
    let world = World::start(backend).await;
    let unplayable = "400 (Bad request) \"Unplayable Job\" not given";
    let done = world.ended("success").await;
    let answer = world.developer.post(&build_path(done.id, "/play")).await;
    answer.is_error(400, unplayable);
    let id = manual(&world).await;
    let answer = world.reporter.post(&build_path(id, "/play")).await;
    answer.is_error(403, "403 Forbidden");
    // It is shown as skipped, and what is skipped is not canceled.
    assert_eq!(act(&world, id, "/cancel", 201).await["status"], "skipped");
    let played = act(&world, id, "/play", 200).await;
    assert_eq!(
        (&played["id"], &played["status"]),
        (&json!(id.0), &json!("pending"))
    );
    assert_eq!(played["user"]["username"], "dora");
    let answer = world.developer.post(&build_path(id, "/play")).await;
    answer.is_error(400, unplayable);
    assert_eq!(world.runner().await.claim().await.id, id);
    // Who tries one again that was called off before it began has started it, too.
    let id = manual(&world).await;
    world.farm.cancel(id).await;
    assert_eq!(act(&world, id, "/retry", 201).await["status"], "pending");
}

//! Checks 80 to 85: builds that are called off, and those that cannot be.

use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::client::Claim;
use crate::support::{L, URL, World, enter};

on_both_back_ends!(
    check_80_a_waiting_build_is_called_off,
    check_81_so_is_one_at_work,
    check_82_but_not_one_that_pushes_or_is_over,
    check_82_nor_one_that_was_lost,
    check_83_a_build_is_called_off_once,
    check_84_an_unknown_build_is_404,
    check_85_the_log_does_not_tell,
);

const NOT_CANCELABLE: &str = "Build is currently running or has finished";

/// In the mode that is not offered it is 201, with a word.
async fn check_80_a_waiting_build_is_called_off(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.build().await;
    let answer = world.a.delete(&format!("{L}{id}")).await.is(204);
    assert!(answer.body.is_empty());
    assert_eq!(world.phase(&id).await, "cancelled");
    // This is how a runner of ours hears that there is nothing.
    world.runner().await.poll().await.is(404);
}

/// Calls a build off that a runner has; nothing that the runner says changes that.
async fn called_off(world: &World, id: &str, claim: &Claim) {
    world.a.delete(&format!("{L}{id}")).await.is(204);
    assert_eq!(world.phase(id).await, "cancelled");
    let late = enter(claim, "pushing").await;
    assert_eq!(late.status, 404, "{late:?}");
    claim.put(json!({"state": "success"})).await;
    assert_eq!(world.phase(id).await, "cancelled");
}

async fn check_81_so_is_one_at_work(backend: Backend) {
    let world = World::start(backend).await;
    let (id, claim) = world.claimed().await;
    assert_eq!(world.phase(&id).await, "build-scheduled");
    called_off(&world, &id, &claim).await;
    for (own, told) in [
        ("fetching", "unpacking"),
        ("pulling", "pulling"),
        ("building", "building"),
    ] {
        let (id, claim) = world.in_phase(own).await;
        assert_eq!(world.phase(&id).await, told);
        called_off(&world, &id, &claim).await;
    }
}

/// Refuses to call a build off, which stays what it is.
async fn refused(world: &World, id: &str, phase: &str) {
    assert_eq!(world.phase(id).await, phase);
    let answer = world.a.delete(&format!("{L}{id}")).await;
    answer.details(400, "invalid_request", NOT_CANCELABLE);
    assert_eq!(world.phase(id).await, phase);
}

async fn check_82_but_not_one_that_pushes_or_is_over(backend: Backend) {
    let world = World::start(backend).await;
    let (id, claim) = world.in_phase("pushing").await;
    refused(&world, &id, "pushing").await;
    claim.succeed().await;
    refused(&world, &id, "complete").await;
    let (id, _) = world.ended("failed").await;
    refused(&world, &id, "error").await;
}

async fn check_82_nor_one_that_was_lost(backend: Backend) {
    let world = World::start(backend).await;
    let (id, _claim) = world.in_phase("building").await;
    world.farm.advance(3600);
    assert_eq!(world.farm.expire_leases().await, 1);
    refused(&world, &id, "internalerror").await;
    // What was to happen next still does.
    let again = world.runner().await.claim().await;
    assert_eq!(world.phase(&id).await, "build-scheduled");
    again.succeed().await;
    assert_eq!(world.phase(&id).await, "complete");
}

async fn check_83_a_build_is_called_off_once(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.build().await;
    world.a.delete(&format!("{L}{id}")).await.is(204);
    refused(&world, &id, "cancelled").await;
}

async fn check_84_an_unknown_build_is_404(backend: Backend) {
    let world = World::start(backend).await;
    let answer = world.a.delete(&format!("{L}nothing")).await;
    answer.problem(404, "not_found");
    let id = world.build().await;
    let other = format!("/api/v1/repository/ada/pub/build/{id}");
    world.a.delete(&other).await.problem(404, "not_found");
    assert_eq!(world.phase(&id).await, "waiting");
    let body = json!({ "archive_url": URL });
    let foreign = "/api/v1/repository/bob/x/build/";
    let secret = world.bob.post(foreign, &body).await.is(201).json();
    let path = format!("{L}{}", secret["id"].as_str().unwrap());
    world.a.delete(&path).await.problem(404, "not_found");
}

async fn check_85_the_log_does_not_tell(backend: Backend) {
    let world = World::start(backend).await;
    let (id, claim) = world.in_phase("building").await;
    claim.patch("0-7", "Step 1\n").await.is(202);
    world.a.delete(&format!("{L}{id}")).await.is(204);
    let log = world.whole_log(&id).await;
    let said: Vec<&str> = log
        .iter()
        .map(|entry| entry["message"].as_str().unwrap())
        .collect();
    assert_eq!(said, ["build-scheduled", "building", "Step 1\n"]);
}

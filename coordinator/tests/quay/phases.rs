//! Checks 67 to 70, 99, 100 and 104: the phases of builds that are lost, that wait for each other,
//! and of all others.
//!
//! Check 70 is about a store for the status of builds that is away while the database is not. Here
//! a phase follows from the rows of the database alone, so there is no such store.

use reqwest::Method;
use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::client::Claim;
use crate::support::{L, URL, World, enter};

on_both_back_ends!(
    check_67_a_lost_build_is_tried_again_until_it_expires,
    check_68_a_silent_build_is_lost_before_anybody_looks,
    check_69_a_complete_build_stays_complete,
    check_70_a_phase_is_always_known,
    check_99_one_build_of_a_repository_at_a_time,
    check_100_a_build_that_is_lost_three_times_expires,
    check_104_no_phase_is_made_up,
    a_build_that_somebody_tries_again_waits,
);

/// Lets the runner of a build fall silent, until the farm sees it.
async fn lose(world: &World) {
    world.farm.advance(60);
    assert_eq!(world.farm.expire_leases().await, 1);
}

async fn check_67_a_lost_build_is_tried_again_until_it_expires(backend: Backend) {
    let world = World::start(backend).await;
    let (id, _claim) = world.in_phase("building").await;
    lose(&world).await;
    assert_eq!(world.phase(&id).await, "internalerror");
    for left in [1, 0] {
        world.runner().await.claim().await;
        assert_eq!(world.phase(&id).await, "build-scheduled");
        lose(&world).await;
        let expected = if left > 0 { "internalerror" } else { "expired" };
        assert_eq!(world.phase(&id).await, expected);
    }
    world.runner().await.poll().await.is(404);
    // It counts as lost, not as over, and its log stays where it is for a good while.
    world.farm.advance(86400);
    let log = world.r.get(&format!("{L}{id}/logs")).await.is(200).json();
    assert!(log["logs"].is_array(), "{log}");
    world.farm.advance(15 * 86400);
    let log = world.r.get(&format!("{L}{id}/logs")).await.is(200).json();
    assert!(log["logs_url"].is_string(), "{log}");
}

/// The farm tells no heartbeat; what stands for it is the lease that every sign of life renews.
async fn check_68_a_silent_build_is_lost_before_anybody_looks(backend: Backend) {
    let world = World::start(backend).await;
    let (id, claim) = world.in_phase("building").await;
    world.farm.advance(10);
    assert_eq!(world.phase(&id).await, "building");
    claim.put(json!({"state": "running"})).await.is(200);
    world.farm.advance(10);
    let build = world.r.get(&format!("{L}{id}")).await.is(200).json();
    assert_eq!(build["phase"], "building");
    assert_eq!(build["status"], json!({}));
    world.farm.advance(60);
    assert_eq!(world.phase(&id).await, "internalerror");
    let listed = world.r.get(L).await.is(200).json();
    assert_eq!(listed["builds"][0]["phase"], "internalerror");
    // A sign of life that comes before the farm looks is in time.
    claim.put(json!({"state": "running"})).await.is(200);
    assert_eq!(world.phase(&id).await, "building");
}

async fn check_69_a_complete_build_stays_complete(backend: Backend) {
    let world = World::start(backend).await;
    let (id, _) = world.ended("success").await;
    world.farm.advance(86400);
    world.farm.expire_leases().await;
    let build = world.r.get(&format!("{L}{id}")).await.is(200).json();
    assert_eq!(build["phase"], "complete");
    assert_eq!(build["status"], json!({}));
}

async fn check_70_a_phase_is_always_known(backend: Backend) {
    let world = World::start(backend).await;
    let (id, _claim) = world.in_phase("building").await;
    world.farm.lose_blobs();
    let build = world.r.get(&format!("{L}{id}")).await.is(200).json();
    assert_eq!(build["phase"], "building");
    assert_eq!(build["error"], json!(null));
}

async fn check_99_one_build_of_a_repository_at_a_time(backend: Backend) {
    let world = World::start(backend).await;
    let (first, second) = (world.build().await, world.build().await);
    let other = "/api/v1/repository/ada/pub/build/";
    let elsewhere = world.build_in(other).await;
    let (one, two) = (world.runner().await, world.runner().await);
    let claim = one.claim().await;
    assert_eq!(world.phase(&first).await, "build-scheduled");
    // The second one of the repository waits, and that of another goes before it.
    two.claim().await;
    assert_eq!(world.phase(&second).await, "waiting");
    let build = world.r.get(&format!("{other}{elsewhere}")).await;
    assert_eq!(build.is(200).json()["phase"], "build-scheduled");
    let third = world.runner().await;
    third.poll().await.is(404);
    enter(&claim, "pushing").await.is(200);
    third.poll().await.is(404);
    claim.succeed().await;
    third.claim().await;
    assert_eq!(world.phase(&first).await, "complete");
    assert_eq!(world.phase(&second).await, "build-scheduled");
}

async fn check_100_a_build_that_is_lost_three_times_expires(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.build().await;
    for told in ["internalerror", "internalerror", "expired"] {
        let claim: Claim = world.runner().await.claim().await;
        enter(&claim, "building").await.is(200);
        // The farm looks for silent runners at least once in the time of a check.
        lose(&world).await;
        assert_eq!(world.phase(&id).await, told);
    }
    let log = world.whole_log(&id).await;
    let said = log.iter().map(|entry| entry["message"].as_str().unwrap());
    let attempt = ["build-scheduled", "building", "internalerror"];
    let expected = [attempt; 3].concat();
    let phases = log.iter().filter(|entry| entry["type"] == "phase");
    assert_eq!(phases.count(), expected.len());
    let said: Vec<&str> = said.filter(|word| expected.contains(word)).collect();
    assert_eq!(said, expected);
    let error = log.last().unwrap();
    assert_eq!(error["data"]["error_code"], "io.quay.builder.internalerror");
    assert_eq!(error["data"]["internal_error"], true);
}

async fn check_104_no_phase_is_made_up(backend: Backend) {
    const KNOWN: [&str; 11] = [
        "waiting",
        "build-scheduled",
        "unpacking",
        "pulling",
        "building",
        "pushing",
        "complete",
        "error",
        "cancelled",
        "internalerror",
        "expired",
    ];
    let world = World::start(backend).await;
    let mut seen = Vec::new();
    let phases = [
        "preparing",
        "fetching",
        "pulling",
        "building",
        "pushing",
        "uploading",
    ];
    for phase in phases {
        let (id, claim) = world.in_phase(phase).await;
        seen.push(world.phase(&id).await);
        claim.succeed().await;
        seen.push(world.phase(&id).await);
    }
    for reason in slipway_domain::FailureReason::ALL {
        let (id, claim) = world.claimed().await;
        let body = json!({"state": "failed", "failure_reason": reason.as_str()});
        claim.put(body).await.is(200);
        seen.push(world.phase(&id).await);
        if seen.last().unwrap() == "internalerror" {
            // Or it would be the next one that is claimed.
            let again = world.runner().await.claim().await;
            again.succeed().await;
        }
    }
    let id = world.build().await;
    seen.push(world.phase(&id).await);
    world.a.delete(&format!("{L}{id}")).await.is(204);
    seen.push(world.phase(&id).await);
    // A build of a commit, too, has none but these.
    world.farm.build(&world.app).await;
    let listed = world.r.get(&format!("{L}?limit=0")).await.is(200).json();
    for build in listed["builds"].as_array().unwrap() {
        seen.push(build["phase"].as_str().unwrap().to_owned());
    }
    for phase in &seen {
        assert!(KNOWN.contains(&phase.as_str()), "{phase}");
    }
}

async fn a_build_that_somebody_tries_again_waits(backend: Backend) {
    let world = World::start(backend).await;
    let build = world.w.makes(&json!({ "archive_url": URL })).await;
    let id = build["id"].as_str().unwrap();
    let claim = world.runner().await.claim().await;
    claim.put(json!({"state": "failed"})).await.is(200);
    assert_eq!(world.phase(id).await, "error");
    world.farm.advance(1);
    let retry = format!("/v1/builds/{id}/retry");
    let request = world.a.request(Method::POST, &retry).send().await;
    assert_eq!(request.unwrap().status(), 200);
    // It can be called off, unlike one that the farm tries again.
    assert_eq!(world.phase(id).await, "waiting");
    world.a.delete(&format!("{L}{id}")).await.is(204);
}

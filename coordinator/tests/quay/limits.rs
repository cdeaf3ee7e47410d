//! Checks 53 to 56: repositories and namespaces that take no build now.

use serde_json::json;
use slipway_domain::Role;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::support::{Answer, L, URL, World};

on_both_back_ends!(
    check_53_a_repository_may_be_looked_at_only,
    check_54_a_namespace_has_as_many_builds_as_it_may,
    check_55_which_may_be_none,
    check_56_and_counts_its_own,
);

async fn check_53_a_repository_may_be_looked_at_only(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.build().await;
    let farm = world.farm.farm();
    farm.set_read_only(&world.app, true).await.unwrap();
    let body = json!({ "archive_url": URL });
    assert!(world.w.post(L, &body).await.message(503).is_string());
    // Who may not build is told so first, and what is wrong with the body comes later.
    let answer = world.r.post(L, &body).await;
    answer.problem(403, "insufficient_scope");
    world.w.post(L, &json!({})).await.message(503);
    assert_eq!(world.r.get(L).await.ids(), [id.as_str()]);
    world.a.get(&format!("{L}{id}/logs")).await.is(200);
    let answer = world.a.delete(&format!("{L}{id}")).await;
    assert!(answer.message(503).is_string());
    let answer = world.w.delete(&format!("{L}{id}")).await;
    answer.problem(403, "insufficient_scope");
    assert_eq!(world.phase(&id).await, "waiting");
    farm.set_read_only(&world.app, false).await.unwrap();
    world.w.post(L, &body).await.is(201);
}

/// Lets `ada` have so many unfinished builds.
async fn limit(world: &World, limit: u32) {
    let admin = world.farm.admin().await;
    let (farm, name) = (world.farm.farm(), "ada".parse().unwrap());
    let access = farm.namespace(&admin, &name, Role::Owner).await.unwrap();
    let set = farm.set_max_builds(&admin, &access, Some(limit)).await;
    set.unwrap();
}

async fn asked(world: &World) -> Answer {
    world.w.post(L, &json!({ "archive_url": URL })).await
}

fn is_too_many(answer: Answer) {
    let answer = answer.is(429);
    let told = json!({"message": "Maximum queued build rate exceeded."});
    assert_eq!(answer.json(), told);
    assert_eq!(answer.header("retry-after"), None);
}

async fn check_54_a_namespace_has_as_many_builds_as_it_may(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.build().await;
    limit(&world, 1).await;
    is_too_many(asked(&world).await);
    world.a.delete(&format!("{L}{id}")).await.is(204);
    asked(&world).await.is(201);
}

async fn check_55_which_may_be_none(backend: Backend) {
    let world = World::start(backend).await;
    limit(&world, 0).await;
    is_too_many(asked(&world).await);
}

async fn check_56_and_counts_its_own(backend: Backend) {
    let world = World::start(backend).await;
    let other = world.farm.project("ada2/app").await;
    world.farm.build(&other).await;
    limit(&world, 1).await;
    asked(&world).await.is(201);
    is_too_many(asked(&world).await);
}

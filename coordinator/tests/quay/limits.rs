//! Checks 53 to 56: repositories and namespaces that take no build now.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_farm::ProjectUpdate;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::support::{ApiResponse, L, URL, World, send};

on_both_back_ends!(
    check_53_a_repository_may_be_looked_at_only,
    check_53_so_may_all_of_them,
    logs_are_read_where_nothing_may_change,
    check_54_a_namespace_has_as_many_builds_as_it_may,
    check_55_which_may_be_none,
    check_56_and_counts_its_own,
);

async fn check_53_a_repository_may_be_looked_at_only(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.build().await;
    let read_only = async |on: bool| {
        let change = ProjectUpdate {
            read_only: Some(on),
            ..ProjectUpdate::default()
        };
        world.farm.change_project(&world.app, change).await;
    };
    read_only(true).await;
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
    read_only(false).await;
    world.w.post(L, &body).await.is(201);
}

async fn check_53_so_may_all_of_them(backend: Backend) {
    let world = World::with(backend, |config| config.quay.read_only = true).await;
    let body = json!({ "archive_url": URL });
    let place = json!({"mimeType": "text/plain"});
    for answer in [
        world.w.post(L, &body).await,
        world.r.post(L, &body).await,
        world.nobody.post(L, &json!({})).await,
        world.a.delete(&format!("{L}some-build")).await,
        world.w.post("/api/v1/filedrop/", &place).await,
    ] {
        assert_eq!(answer.json()["is_readonly"], true);
        assert!(answer.message(503).is_string());
    }
    assert!(world.r.get(L).await.ids().is_empty());
    send(world.r.request(Method::OPTIONS, L)).await.is(200);
}

async fn logs_are_read_where_nothing_may_change(backend: Backend) {
    let world = World::with(backend, |config| config.quay.reader_build_logs = false).await;
    let id = world.build().await;
    let change = ProjectUpdate {
        read_only: Some(true),
        ..ProjectUpdate::default()
    };
    world.farm.change_project(&world.app, change).await;
    world.w.get(&format!("{L}{id}/logs")).await.is(200);
    world.w.get(&format!("/logarchive/{id}")).await.is(200);
    let answer = world.r.get(&format!("{L}{id}/logs")).await;
    answer.problem(403, "insufficient_scope");
}

/// Lets `ada` have so many unfinished builds.
async fn limit(world: &World, limit: u32) {
    let change = json!({ "max_builds": limit });
    let request = world.nobody.bare(Method::PATCH, "/v1/namespaces/ada");
    let request = request.bearer_auth(&world.farm.admin_token).json(&change);
    let namespace = request.send().await.unwrap();
    assert_eq!(namespace.status(), 200);
    let namespace: Value = namespace.json().await.unwrap();
    assert_eq!(namespace["max_builds"], limit);
    let request = world.a.request(Method::PATCH, "/v1/namespaces/ada");
    let refused = request.json(&change).send().await.unwrap();
    assert_eq!(refused.status(), 403);
}

async fn asked(world: &World) -> ApiResponse {
    world.w.post(L, &json!({ "archive_url": URL })).await
}

fn is_too_many(answer: ApiResponse) {
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

//! Calling builds off: checks 60 to 66.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use slipway_testkit::Backend;

use crate::support::{ApiResponse, B, World, apart, g};

slipway_testkit::on_both_back_ends!(
    check_60_what_has_not_begun_is_canceled_at_once,
    checks_61_and_62_a_runner_stops_first,
    a_runner_that_never_answers_is_waited_for_only_so_long,
    check_63_what_is_over_stays_as_it_is,
    check_64_what_is_not_there_is_not_called_off,
    check_65_no_body_is_read,
    check_66_a_failure_before_does_not_count,
);

async fn cancel(world: &World, number: i64) -> Value {
    let path = format!("{B}/{number}/cancel");
    world.ana.empty(Method::PUT, &path).await.is(200).json()
}

async fn check_60_what_has_not_begun_is_canceled_at_once(backend: Backend) {
    let world = World::start(backend).await;
    let number = world.build(&g()).await;
    let build = cancel(&world, number).await;
    assert_eq!(build["state"], "canceled");
    assert!(build["finished_at"].is_string());
    assert_eq!(world.states(number).await, ["canceled", "canceled"]);
}

async fn checks_61_and_62_a_runner_stops_first(backend: Backend) {
    let world = World::start(backend).await;
    for end in ["success", "failed"] {
        let number = world.build(&g()).await;
        let claim = world.runner().await.begin().await;
        let build = cancel(&world, number).await;
        assert_eq!(
            (&build["state"], &build["finished_at"]),
            (&json!("canceling"), &json!(null))
        );
        assert_eq!(world.states(number).await, ["canceling", "canceled"]);
        assert_eq!(cancel(&world, number).await, build);
        // So a runner hears of it, and says when it has stopped.
        claim.put(json!({"state": "running"})).await.is(404);
        assert_eq!(world.read(number).await["state"], "canceling");
        claim.put(json!({"state": end})).await.is(404);
        let build = world.read(number).await;
        assert_eq!(build["state"], "canceled");
        assert!(build["finished_at"].is_string());
        assert_eq!(world.states(number).await, ["canceled", "canceled"]);
        assert_eq!(cancel(&world, number).await, build);
    }
}

async fn a_runner_that_never_answers_is_waited_for_only_so_long(backend: Backend) {
    let world = World::start(backend).await;
    let number = world.build(&apart(&["a"])).await;
    world.runner().await.begin().await;
    assert_eq!(cancel(&world, number).await["state"], "canceling");
    world.farm.advance(15);
    assert_eq!(world.read(number).await["state"], "canceled");
}

async fn check_63_what_is_over_stays_as_it_is(backend: Backend) {
    let world = World::start(backend).await;
    for end in ["success", "failed"] {
        let number = world.build(&apart(&["a"])).await;
        let claim = world.runner().await.begin().await;
        claim.put(json!({"state": end})).await.is(200);
        let before = world.read(number).await;
        world.farm.advance(5);
        assert_eq!(cancel(&world, number).await, before);
        assert_eq!(world.read(number).await, before);
    }
}

async fn check_64_what_is_not_there_is_not_called_off(backend: Backend) {
    let world = World::start(backend).await;
    let number = world.build(&g()).await;
    let answer = world
        .ana
        .empty(Method::PUT, &format!("{B}/9999/cancel"))
        .await;
    answer.error(404, "not_found", "build_not_found");
    let path = format!("{B}/{number}/cancel");
    let answer = world.olaf.empty(Method::PUT, &path).await;
    answer.error(404, "not_found", "organization_not_found");
    assert_eq!(world.read(number).await["state"], "scheduled");
}

async fn check_65_no_body_is_read(backend: Backend) {
    let world = World::start(backend).await;
    for (kind, body) in [
        (None, None),
        (Some("application/json"), Some("")),
        (Some("application/json"), Some("{\"a\":1}")),
        (Some("application/json"), Some("{")),
        (Some("text/plain"), Some("stop")),
    ] {
        let number = world.build(&g()).await;
        let mut request = world
            .ana
            .request(Method::PUT, &format!("{B}/{number}/cancel"));
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        assert_eq!(
            ApiResponse::to(request).await.is(200).json()["state"],
            "canceled"
        );
    }
}

async fn check_66_a_failure_before_does_not_count(backend: Backend) {
    let world = World::start(backend).await;
    let number = world.build(&apart(&["a", "b"])).await;
    let claim = world.runner().await.begin().await;
    claim.put(json!({"state": "failed"})).await.is(200);
    assert_eq!(world.read(number).await["state"], "failing");
    assert_eq!(cancel(&world, number).await["state"], "canceled");
    assert_eq!(world.states(number).await, ["failed", "canceled"]);
}

//! Registration, verification, token reset and deletion of runners.
//!
//! See `docs/protocols/runner-v4.md#registration`, `docs/protocols/runner-v4.md#verification`, `docs/protocols/runner-v4.md#token-reset` and `docs/protocols/runner-v4.md#deletion`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Runner, RunnerApi};

on_both_back_ends!(
    register_returns_201_with_id_and_token_without_prefix,
    register_with_unknown_token_is_forbidden,
    register_without_token_is_a_bad_request,
    register_refuses_a_runner_that_could_never_claim_a_job,
    register_accepts_a_list_of_tags_and_active,
    verify_returns_the_id_of_a_created_runner,
    verify_does_not_require_a_system_id,
    verify_with_unknown_token_is_forbidden,
    token_of_a_deleted_runner_is_forbidden,
    delete_with_unknown_token_is_forbidden,
    token_reset_replaces_the_token,
    token_reset_by_a_user_requires_permission,
    maintainers_create_runners_for_their_project_only,
    router_discovery_returns_501,
);

async fn register(farm: &TestFarm, body: Value) -> ApiResponse {
    let api = RunnerApi::new(farm);
    api.json(Method::POST, "/runners", &body).await
}

async fn register_returns_201_with_id_and_token_without_prefix(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let body = json!({
        "token": farm.registration_token, "description": "a", "tag_list": "x,y",
        "run_untagged": false, "locked": true, "paused": false, "info": {},
    });
    let created = register(&farm, body).await.is(201).json();
    assert!(created["id"].as_i64().unwrap() > 0);
    let token = created["token"].as_str().unwrap();
    assert!(!token.is_empty() && !token.starts_with("glrt-"), "{token}");
    assert_eq!(created.get("token_expires_at"), Some(&Value::Null));
    let runner = &farm.runners().await[0];
    assert_eq!(runner.description, "a");
    assert_eq!(runner.capabilities.tags.to_list(), "x,y");
    assert!(!runner.capabilities.run_untagged && runner.locked && !runner.paused);
}

async fn register_with_unknown_token_is_forbidden(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    register(&farm, json!({"token": "bad"}))
        .await
        .fails_as_forbidden();
    assert!(farm.runners().await.is_empty());
}

async fn register_without_token_is_a_bad_request(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for body in [json!({}), json!({"token": ""}), json!({"token": null})] {
        let response = register(&farm, body).await.is(400);
        assert_eq!(response.json(), json!({"error": "token is missing"}));
    }
}

async fn register_refuses_a_runner_that_could_never_claim_a_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let body = json!({"token": farm.registration_token, "run_untagged": false});
    let response = register(&farm, body).await.is(400);
    assert!(response.json()["message"].is_object(), "{response:?}");
    assert!(farm.runners().await.is_empty());
}

async fn register_accepts_a_list_of_tags_and_active(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let body = json!({"token": farm.registration_token, "tag_list": ["x", "y"], "active": false});
    register(&farm, body).await.is(201);
    let runner = &farm.runners().await[0];
    assert_eq!(runner.capabilities.tags.to_list(), "x,y");
    assert!(runner.paused, "`active: false` means paused");
}

async fn verify_returns_the_id_of_a_created_runner(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).create_runner(&farm).await;
    assert!(runner.token.starts_with("glrt-"), "{}", runner.token);
    let verified = runner.with_system_id("s_1").verify().await.is(200).json();
    assert_eq!(verified["id"], runner.id.0);
    assert_eq!(verified["token"], runner.token.as_str());
    assert_eq!(verified.get("token_expires_at"), Some(&Value::Null));
}

async fn verify_does_not_require_a_system_id(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let body = json!({"token": runner.token});
    let api = &runner.api;
    let response = api.json(Method::POST, "/runners/verify", &body).await;
    assert_eq!(response.is(200).json()["id"], runner.id.0);
    // Newer runners also send the token in a header, which is enough on its own.
    let request = api.request(Method::POST, "/runners/verify");
    let request = request.header("RUNNER-TOKEN", &runner.token);
    api.send(request.json(&json!({}))).await.is(200);
}

async fn verify_with_unknown_token_is_forbidden(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let mut runner = RunnerApi::new(&farm).register_runner(&farm).await;
    runner.token = "bad".to_owned();
    runner.verify().await.fails_as_forbidden();
}

async fn delete(runner: &Runner, path: &str, body: Value) -> ApiResponse {
    runner.api.json(Method::DELETE, path, &body).await
}

async fn token_of_a_deleted_runner_is_forbidden(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let response = delete(&runner, "/runners", json!({"token": runner.token})).await;
    assert!(response.is(204).body.is_empty());
    runner.verify().await.fails_as_forbidden();
    runner.poll().await.fails_as_forbidden();
    assert!(farm.runners().await.is_empty());
}

async fn delete_with_unknown_token_is_forbidden(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    delete(&runner, "/runners", json!({"token": "bad"}))
        .await
        .fails_as_forbidden();
    delete(&runner, "/runners", json!({})).await.is(400);
    runner.verify().await.is(200);
}

async fn token_reset_replaces_the_token(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    for (runner, has_prefix) in [
        (api.register_runner(&farm).await, false),
        (api.create_runner(&farm).await, true),
    ] {
        let path = "/runners/reset_authentication_token";
        let body = json!({"token": runner.token});
        let reset = api.json(Method::POST, path, &body).await.is(201).json();
        assert_eq!(reset.get("token_expires_at"), Some(&Value::Null));
        let mut next = runner.clone();
        next.token = reset["token"].as_str().unwrap().to_owned();
        assert_eq!(
            next.token.starts_with("glrt-"),
            has_prefix,
            "{}",
            next.token
        );
        runner.verify().await.fails_as_forbidden();
        api.json(Method::POST, path, &body)
            .await
            .fails_as_forbidden();
        next.verify().await.is(200);
    }
}

async fn token_reset_by_a_user_requires_permission(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    let runner = api.register_runner(&farm).await;
    let path = format!("/runners/{}/reset_authentication_token", runner.id);
    let outsider = farm.user("outsider").await;
    for token in ["bad", &outsider] {
        let request = api.request(Method::POST, &path);
        let request = request.header("PRIVATE-TOKEN", token);
        api.send(request).await.fails_as_forbidden();
    }
    api.send(api.request(Method::POST, &path))
        .await
        .fails_as_forbidden();
    runner.verify().await.is(200);
    let request = api.request(Method::POST, &path);
    let request = request.header("PRIVATE-TOKEN", &farm.admin_token);
    let reset = api.send(request).await.is(201).json();
    runner.verify().await.fails_as_forbidden();
    let mut next = runner.clone();
    next.token = reset["token"].as_str().unwrap().to_owned();
    next.verify().await.is(200);
}

async fn maintainers_create_runners_for_their_project_only(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let (own, other) = (
        farm.project("acme/own").await,
        farm.project("acme/other").await,
    );
    let api = RunnerApi::new(&farm);
    let body = json!({"description": "of own", "tags": ["x"], "run_untagged": true});
    let path = "/v1/projects/acme/own/runners";
    let created = api.native(&farm, path, body.clone()).await;
    assert_eq!(created["projects"], json!([own.id().0]));
    let outsider = farm.user("outsider").await;
    for path in [path, "/v1/runners"] {
        let request = farm.http.post(farm.url(path)).json(&body);
        let response = request.bearer_auth(&outsider).send().await.unwrap();
        assert!(
            matches!(response.status().as_u16(), 403 | 404),
            "{response:?}"
        );
    }
    let mut runner = api.register_runner(&farm).await;
    runner.token = created["token"].as_str().unwrap().to_owned();
    runner.verify().await.is(200);
    // The other project has the older build, which would be claimed first if it were eligible.
    let passed_over = farm.build(&other).await;
    let wanted = farm.build(&own).await;
    assert_eq!(runner.claim().await.id, farm.jobs(&wanted).await[0].id);
    runner.expect_no_job().await;
    assert_eq!(farm.jobs(&passed_over).await[0].state.name(), "pending");
}

async fn router_discovery_returns_501(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    let request = api.request(Method::GET, "/runners/router/discovery");
    api.send(request).await.is(501);
    api.send(api.request(Method::GET, "/projects"))
        .await
        .is(404);
}

//! Checks 1 to 13: registering, verifying, other tokens, and leaving.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Claim, Runner, RunnerApi};

on_both_back_ends!(
    check_01_registering_answers_201_with_an_id_and_a_token_of_the_old_kind,
    check_02_an_unknown_registration_token_is_forbidden,
    check_03_registering_without_a_token_is_a_bad_request,
    check_04_a_runner_that_could_never_take_a_job_is_not_made,
    check_05_tags_may_be_a_list,
    check_06_a_runner_that_was_made_first_verifies,
    check_07_verifying_needs_no_system_id,
    check_08_an_unknown_token_does_not_verify,
    check_09_a_runner_that_left_is_unknown,
    check_10_an_unknown_runner_cannot_leave,
    check_11_a_process_leaves_and_its_runner_stays,
    check_12_a_process_that_leaves_says_which_it_is,
    check_13_a_runner_gets_another_token,
    a_user_who_may_change_a_runner_gets_it_another_token,
    a_runner_of_one_project_is_made_first_by_its_maintainers,
    what_a_runner_that_leaves_was_doing_is_tried_again_at_once,
    there_is_no_router,
);

async fn register(farm: &TestFarm, body: Value) -> ApiResponse {
    let api = RunnerApi::new(farm);
    api.json(Method::POST, "/runners", &body).await
}

async fn check_01_registering_answers_201_with_an_id_and_a_token_of_the_old_kind(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let body = json!({
        "token": farm.registration_token, "description": "a", "tag_list": "x,y",
        "run_untagged": false, "locked": true, "paused": false, "info": {},
    });
    let made = register(&farm, body).await.is(201).json();
    assert!(made["id"].as_i64().unwrap() > 0);
    let token = made["token"].as_str().unwrap();
    assert!(!token.is_empty() && !token.starts_with("glrt-"), "{token}");
    assert_eq!(made.get("token_expires_at"), Some(&Value::Null));
    let runner = &farm.runners().await[0];
    assert_eq!(runner.description, "a");
    assert_eq!(runner.capabilities.tags.to_list(), "x,y");
    assert!(!runner.capabilities.run_untagged && runner.locked && !runner.paused);
}

async fn check_02_an_unknown_registration_token_is_forbidden(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    register(&farm, json!({"token": "bad"}))
        .await
        .is_forbidden();
    assert!(farm.runners().await.is_empty());
}

async fn check_03_registering_without_a_token_is_a_bad_request(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for body in [json!({}), json!({"token": ""}), json!({"token": null})] {
        let answer = register(&farm, body).await.is(400);
        assert_eq!(answer.json(), json!({"error": "token is missing"}));
    }
}

async fn check_04_a_runner_that_could_never_take_a_job_is_not_made(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let body = json!({"token": farm.registration_token, "run_untagged": false});
    let answer = register(&farm, body).await.is(400);
    assert!(answer.json()["message"].is_object(), "{answer:?}");
    assert!(farm.runners().await.is_empty());
}

async fn check_05_tags_may_be_a_list(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let body = json!({"token": farm.registration_token, "tag_list": ["x", "y"], "active": false});
    register(&farm, body).await.is(201);
    let runner = &farm.runners().await[0];
    assert_eq!(runner.capabilities.tags.to_list(), "x,y");
    assert!(runner.paused, "not active is paused");
}

async fn check_06_a_runner_that_was_made_first_verifies(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).create_runner(&farm).await;
    assert!(runner.token.starts_with("glrt-"), "{}", runner.token);
    let said = runner.with_system_id("s_1").verify().await.is(200).json();
    assert_eq!(said["id"], runner.id.0);
    assert_eq!(said["token"], runner.token.as_str());
    assert_eq!(said.get("token_expires_at"), Some(&Value::Null));
}

async fn check_07_verifying_needs_no_system_id(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let body = json!({"token": runner.token});
    let api = &runner.api;
    let answer = api.json(Method::POST, "/runners/verify", &body).await;
    assert_eq!(answer.is(200).json()["id"], runner.id.0);
    // Newer ones show the token in a header too, and that is enough.
    let request = api.request(Method::POST, "/runners/verify");
    let request = request.header("RUNNER-TOKEN", &runner.token);
    api.send(request.json(&json!({}))).await.is(200);
}

async fn check_08_an_unknown_token_does_not_verify(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let mut runner = RunnerApi::new(&farm).register_runner(&farm).await;
    runner.token = "bad".to_owned();
    runner.verify().await.is_forbidden();
}

async fn leave(runner: &Runner, path: &str, body: Value) -> ApiResponse {
    runner.api.json(Method::DELETE, path, &body).await
}

async fn check_09_a_runner_that_left_is_unknown(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let answer = leave(&runner, "/runners", json!({"token": runner.token})).await;
    assert!(answer.is(204).body.is_empty());
    runner.verify().await.is_forbidden();
    runner.poll().await.is_forbidden();
    assert!(farm.runners().await.is_empty());
}

async fn check_10_an_unknown_runner_cannot_leave(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    leave(&runner, "/runners", json!({"token": "bad"}))
        .await
        .is_forbidden();
    leave(&runner, "/runners", json!({})).await.is(400);
    runner.verify().await.is(200);
}

async fn check_11_a_process_leaves_and_its_runner_stays(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm)
        .create_runner(&farm)
        .await
        .with_system_id("s_1");
    runner.verify().await.is(200);
    runner.with_system_id("s_2").verify().await.is(200);
    let body = json!({"token": runner.token, "system_id": "s_1"});
    let answer = leave(&runner, "/runners/managers", body.clone()).await;
    assert!(answer.is(204).body.is_empty());
    leave(&runner, "/runners/managers", body).await.is(404);
    let left = farm.farm().managers_of(&farm.runners().await[0]).await;
    let left: Vec<String> = left.unwrap().into_iter().map(|m| m.system_id).collect();
    assert_eq!(left, ["s_2"]);
    runner.verify().await.is(200);
}

async fn check_12_a_process_that_leaves_says_which_it_is(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).create_runner(&farm).await;
    let body = json!({"token": runner.token});
    leave(&runner, "/runners/managers", body).await.is(400);
    let body = json!({"token": "bad", "system_id": "s_1"});
    leave(&runner, "/runners/managers", body)
        .await
        .is_forbidden();
}

async fn check_13_a_runner_gets_another_token(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    for (runner, is_first) in [
        (api.register_runner(&farm).await, false),
        (api.create_runner(&farm).await, true),
    ] {
        let path = "/runners/reset_authentication_token";
        let body = json!({"token": runner.token});
        let said = api.json(Method::POST, path, &body).await.is(201).json();
        assert_eq!(said.get("token_expires_at"), Some(&Value::Null));
        let mut next = runner.clone();
        next.token = said["token"].as_str().unwrap().to_owned();
        assert_eq!(next.token.starts_with("glrt-"), is_first, "{}", next.token);
        runner.verify().await.is_forbidden();
        api.json(Method::POST, path, &body).await.is_forbidden();
        next.verify().await.is(200);
    }
}

async fn a_user_who_may_change_a_runner_gets_it_another_token(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    let runner = api.register_runner(&farm).await;
    let path = format!("/runners/{}/reset_authentication_token", runner.id);
    let stranger = farm.user("stranger").await;
    for token in ["bad", &stranger] {
        let request = api.request(Method::POST, &path);
        let request = request.header("PRIVATE-TOKEN", token);
        api.send(request).await.is_forbidden();
    }
    api.send(api.request(Method::POST, &path))
        .await
        .is_forbidden();
    runner.verify().await.is(200);
    let request = api.request(Method::POST, &path);
    let request = request.header("PRIVATE-TOKEN", &farm.admin_token);
    let said = api.send(request).await.is(201).json();
    runner.verify().await.is_forbidden();
    let mut next = runner.clone();
    next.token = said["token"].as_str().unwrap().to_owned();
    next.verify().await.is(200);
}

async fn a_runner_of_one_project_is_made_first_by_its_maintainers(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let (own, other) = (
        farm.project("acme/own").await,
        farm.project("acme/other").await,
    );
    let api = RunnerApi::new(&farm);
    let body = json!({"description": "of own", "tags": ["x"], "run_untagged": true});
    let path = "/v1/projects/acme/own/runners";
    let made = api.native(&farm, path, body.clone()).await;
    assert_eq!(made["projects"], json!([own.id().0]));
    let stranger = farm.user("stranger").await;
    for path in [path, "/v1/runners"] {
        let request = farm.http.post(farm.url(path)).json(&body);
        let answer = request.bearer_auth(&stranger).send().await.unwrap();
        assert!(matches!(answer.status().as_u16(), 403 | 404), "{answer:?}");
    }
    let mut runner = api.register_runner(&farm).await;
    runner.token = made["token"].as_str().unwrap().to_owned();
    runner.verify().await.is(200);
    // The other project's is the older one, and would be given first.
    let passed_over = farm.build(&other).await;
    let wanted = farm.build(&own).await;
    assert_eq!(runner.claim().await.id, farm.jobs(&wanted).await[0].id);
    runner.expect_no_job().await;
    assert_eq!(farm.jobs(&passed_over).await[0].state.name(), "pending");
}

async fn what_a_runner_that_leaves_was_doing_is_tried_again_at_once(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let other = claim.runner.api.register_runner(&farm).await;
    let body = json!({"token": claim.runner.token});
    leave(&claim.runner, "/runners", body).await.is(204);
    farm.expire_leases().await;
    let again = other.claim().await;
    assert_ne!((again.id, &again.token), (claim.id, &claim.token));
    claim
        .patch("0-4", "hello")
        .await
        .is_with_job_status(403, "failed");
}

async fn there_is_no_router(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    let request = api.request(Method::GET, "/runners/router/discovery");
    api.send(request).await.is(501);
    api.send(api.request(Method::GET, "/projects"))
        .await
        .is(404);
}

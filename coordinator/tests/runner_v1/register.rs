//! Registration, deletion and the verify probe of runners.
//!
//! See `docs/protocols/runner-v1.md#registration`, `docs/protocols/runner-v1.md#deletion` and `docs/protocols/runner-v1.md#verify-probe`.

use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::{Value, json};
use slipway_domain::queue::RunnerScope;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, RunnerApi};

on_both_back_ends!(
    register_returns_201_with_id_and_token,
    register_with_unknown_token_is_forbidden,
    register_without_token_is_a_bad_request,
    register_refuses_a_runner_that_could_never_claim_a_job,
    registered_tags_and_run_untagged_limit_the_jobs_of_a_runner,
    project_token_registers_a_runner_for_that_project_only,
    register_accepts_form_query_and_multipart_parameters,
    token_of_a_deleted_runner_is_forbidden,
    delete_accepts_the_token_in_the_query,
    delete_with_unknown_token_is_forbidden,
    verify_probe_of_a_known_runner_returns_404,
    verify_probe_of_an_unknown_runner_returns_403,
    verify_probe_accepts_the_token_in_the_query,
);

const FORBIDDEN: &str = "403 Forbidden";

async fn register(api: &RunnerApi, body: Value) -> ApiResponse {
    api.json(Method::POST, "/runners/register", &body).await
}

async fn register_returns_201_with_id_and_token(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    let body = json!({"token": farm.registration_token, "description": "a"});
    let response = api
        .json(Method::POST, "/runners/register.json", &body)
        .await
        .is(201);
    assert_eq!(response.header("content-type"), Some("application/json"));
    let body = response.json();
    assert!(body["id"].as_i64().unwrap() > 0);
    let token = body["token"].as_str().unwrap();
    // Stock runners name directories after the first eight characters, so these must be random.
    let other = register(&api, json!({"token": farm.registration_token})).await;
    let other = other.is(201).json();
    assert_ne!(token[..8], other["token"].as_str().unwrap()[..8]);
    assert!(
        token[..8].bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{token}"
    );
    let runners = farm.runners().await;
    assert_eq!(runners.len(), 2);
    let mut runners = runners.iter();
    let first = runners.find(|runner| Some(runner.id.0) == body["id"].as_i64());
    let first = first.unwrap();
    assert_eq!(first.description, "a");
    assert!(first.capabilities.run_untagged, "default when absent");
}

async fn register_with_unknown_token_is_forbidden(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    register(&RunnerApi::new(&farm), json!({"token": "nope"}))
        .await
        .fails_with(403, FORBIDDEN);
    assert!(farm.runners().await.is_empty());
}

async fn register_without_token_is_a_bad_request(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for body in [json!({}), json!({"token": ""}), json!({"token": null})] {
        register(&RunnerApi::new(&farm), body)
            .await
            .fails_with(400, r#"400 (Bad request) "token" not given"#);
    }
}

async fn register_refuses_a_runner_that_could_never_claim_a_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for tags in [json!(null), json!(""), json!(" , ")] {
        let body = json!({
            "token": farm.registration_token, "run_untagged": false, "tag_list": tags
        });
        register(&RunnerApi::new(&farm), body)
            .await
            .fails_with(404, "404 Not Found");
    }
    assert!(farm.runners().await.is_empty());
}

async fn registered_tags_and_run_untagged_limit_the_jobs_of_a_runner(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let body = json!({"tag_list": "x, y", "run_untagged": false});
    let runner = RunnerApi::new(&farm)
        .register(&farm.registration_token, body)
        .await;
    assert_eq!(farm.runners().await[0].capabilities.tags.to_list(), "x,y");
    let untagged = farm.build(&project).await;
    runner.expect_no_job().await;
    let tagged = farm.build_with_tags(&project, "x,y").await;
    let claim = runner.claim().await;
    assert_eq!(claim.id, farm.jobs(&tagged).await[0].id);
    assert_eq!(farm.jobs(&untagged).await[0].state.name(), "pending");
}

async fn project_token_registers_a_runner_for_that_project_only(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let (own, other) = (
        farm.project("acme/own").await,
        farm.project("acme/other").await,
    );
    let token = farm.project_registration_token(&own).await;
    let runner = RunnerApi::new(&farm).register(&token, json!({})).await;
    let scope = &farm.runners().await[0].capabilities.scope;
    assert_eq!(*scope, RunnerScope::Projects([own.id()].into()));
    // The other project has the older build, which would be claimed first if it were eligible.
    let passed_over = farm.build(&other).await;
    let wanted = farm.build(&own).await;
    let claim = runner.claim().await;
    assert_eq!(claim.id, farm.jobs(&wanted).await[0].id);
    runner.expect_no_job().await;
    assert_eq!(farm.jobs(&passed_over).await[0].state.name(), "pending");
}

async fn register_accepts_form_query_and_multipart_parameters(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    let form = "application/x-www-form-urlencoded";
    let body = format!(
        "token={}&tag_list=x%2C+y&run_untagged=false",
        farm.registration_token
    );
    let response = api
        .bytes(Method::POST, "/runners/register", form, body)
        .await
        .is(201);
    assert!(!response.json()["token"].as_str().unwrap().is_empty());
    let runners = farm.runners().await;
    assert_eq!(runners[0].capabilities.tags.to_list(), "x,y");
    assert!(!runners[0].capabilities.run_untagged);
    let query = format!("/runners/register?token={}", farm.registration_token);
    api.empty(Method::POST, &query).await.is(201);
    let fields = Form::new().text("token", farm.registration_token.clone());
    let request = api.request(Method::POST, "/runners/register");
    api.send(request.multipart(fields)).await.is(201);
    assert_eq!(farm.runners().await.len(), 3);
}

async fn token_of_a_deleted_runner_is_forbidden(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    runner.expect_no_job().await;
    let body = json!({"token": runner.token});
    runner
        .api
        .json(Method::DELETE, "/runners/delete", &body)
        .await
        .is(200);
    runner.poll().await.fails_with(403, FORBIDDEN);
    assert!(farm.runners().await.is_empty());
}

async fn delete_accepts_the_token_in_the_query(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let path = format!("/runners/delete?token={}", runner.token);
    runner.api.empty(Method::DELETE, &path).await.is(200);
    runner.poll().await.fails_with(403, FORBIDDEN);
}

async fn delete_with_unknown_token_is_forbidden(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let delete = async |body: Value| {
        let api = &runner.api;
        api.json(Method::DELETE, "/runners/delete", &body).await
    };
    delete(json!({"token": "nope"}))
        .await
        .fails_with(403, FORBIDDEN);
    // A registration token is not a runner token.
    delete(json!({"token": farm.registration_token}))
        .await
        .fails_with(403, FORBIDDEN);
    delete(json!({}))
        .await
        .fails_with(400, r#"400 (Bad request) "token" not given"#);
    runner.expect_no_job().await;
}

async fn verify_probe_of_a_known_runner_returns_404(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let body = json!({"token": runner.token});
    let response = runner.api.json(Method::PUT, "/builds/-1", &body).await;
    response.fails_with(404, "404 Not found");
}

async fn verify_probe_of_an_unknown_runner_returns_403(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    for body in [json!({"token": "nope"}), json!({})] {
        let response = api.json(Method::PUT, "/builds/-1", &body).await;
        response.fails_with(403, FORBIDDEN);
    }
}

async fn verify_probe_accepts_the_token_in_the_query(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let old = runner
        .api
        .clone()
        .with_user_agent(Some("Go 1.1 package http"));
    let known = format!("/builds/-1?token={}", runner.token);
    let response = old.empty(Method::PUT, &known).await;
    response.fails_with(404, "404 Not found");
    let response = old.empty(Method::PUT, "/builds/-1?token=nope").await;
    response.fails_with(403, FORBIDDEN);
}

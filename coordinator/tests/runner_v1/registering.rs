//! Checks 1 to 13: registering, unregistering, and the probe of `verify`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_domain::queue::RunnerScope;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::RunnerApi;

on_both_back_ends!(
    check_01_registering_answers_201_with_an_id_and_a_token,
    check_02_an_unknown_registration_token_is_forbidden,
    check_03_registering_without_a_token_is_a_bad_request,
    check_04_a_runner_that_could_never_take_a_job_is_not_made,
    check_05_tags_are_read_from_a_list_and_untagged_jobs_are_refused,
    check_06_a_projects_token_makes_a_runner_of_that_project,
    check_07_a_form_registers_too,
    check_08_a_deleted_runners_token_is_worth_nothing,
    check_09_a_runner_is_deleted_by_a_query_without_a_body,
    check_10_deleting_an_unknown_runner_is_forbidden,
    check_11_the_probe_of_a_known_runner_is_404,
    check_12_the_probe_of_an_unknown_runner_is_403,
    check_13_the_probe_of_an_old_client_is_read_from_the_query,
);

const FORBIDDEN: &str = "403 Forbidden";

async fn register(api: &RunnerApi, body: Value) -> crate::client::ApiResponse {
    api.json(Method::POST, "/runners/register", &body).await
}

async fn check_01_registering_answers_201_with_an_id_and_a_token(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    let body = json!({"token": farm.registration_token, "description": "a"});
    let answer = api
        .json(Method::POST, "/runners/register.json", &body)
        .await
        .is(201);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body = answer.json();
    assert!(body["id"].as_i64().unwrap() > 0);
    assert!(!body["token"].as_str().unwrap().is_empty());
    let runners = farm.runners().await;
    assert_eq!(runners.len(), 1);
    assert_eq!(Some(runners[0].id.0), body["id"].as_i64());
    assert_eq!(runners[0].description, "a");
    assert!(runners[0].capabilities.run_untagged, "yes when absent");
}

async fn check_02_an_unknown_registration_token_is_forbidden(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    register(&RunnerApi::new(&farm), json!({"token": "nope"}))
        .await
        .is_error(403, FORBIDDEN);
    assert!(farm.runners().await.is_empty());
}

async fn check_03_registering_without_a_token_is_a_bad_request(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for body in [json!({}), json!({"token": ""}), json!({"token": null})] {
        register(&RunnerApi::new(&farm), body)
            .await
            .is_error(400, r#"400 (Bad request) "token" not given"#);
    }
}

async fn check_04_a_runner_that_could_never_take_a_job_is_not_made(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for tags in [json!(null), json!(""), json!(" , ")] {
        let body = json!({
            "token": farm.registration_token, "run_untagged": false, "tag_list": tags
        });
        register(&RunnerApi::new(&farm), body)
            .await
            .is_error(404, "404 Not Found");
    }
    assert!(farm.runners().await.is_empty());
}

async fn check_05_tags_are_read_from_a_list_and_untagged_jobs_are_refused(backend: Backend) {
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

async fn check_06_a_projects_token_makes_a_runner_of_that_project(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let (own, other) = (
        farm.project("acme/own").await,
        farm.project("acme/other").await,
    );
    let token = farm.project_registration_token(&own).await;
    let runner = RunnerApi::new(&farm).register(&token, json!({})).await;
    let scope = &farm.runners().await[0].capabilities.scope;
    assert_eq!(*scope, RunnerScope::Projects([own.id()].into()));
    // The other project's is the older one, and would be given first.
    let passed_over = farm.build(&other).await;
    let wanted = farm.build(&own).await;
    let claim = runner.claim().await;
    assert_eq!(claim.id, farm.jobs(&wanted).await[0].id);
    runner.expect_no_job().await;
    assert_eq!(farm.jobs(&passed_over).await[0].state.name(), "pending");
}

async fn check_07_a_form_registers_too(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    let form = "application/x-www-form-urlencoded";
    let body = format!(
        "token={}&tag_list=x%2C+y&run_untagged=false",
        farm.registration_token
    );
    let answer = api
        .bytes(Method::POST, "/runners/register", form, body)
        .await
        .is(201);
    assert!(!answer.json()["token"].as_str().unwrap().is_empty());
    let runners = farm.runners().await;
    assert_eq!(runners[0].capabilities.tags.to_list(), "x,y");
    assert!(!runners[0].capabilities.run_untagged);
    // So does the query, and so do the fields of a multipart form.
    let query = format!("/runners/register?token={}", farm.registration_token);
    api.empty(Method::POST, &query).await.is(201);
    let fields = reqwest::multipart::Form::new().text("token", farm.registration_token.clone());
    let request = api.request(Method::POST, "/runners/register");
    api.send(request.multipart(fields)).await.is(201);
    assert_eq!(farm.runners().await.len(), 3);
}

async fn check_08_a_deleted_runners_token_is_worth_nothing(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    runner.expect_no_job().await;
    let body = json!({"token": runner.token});
    runner
        .api
        .json(Method::DELETE, "/runners/delete", &body)
        .await
        .is(200);
    runner.poll().await.is_error(403, FORBIDDEN);
    assert!(farm.runners().await.is_empty());
}

async fn check_09_a_runner_is_deleted_by_a_query_without_a_body(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let path = format!("/runners/delete?token={}", runner.token);
    runner.api.empty(Method::DELETE, &path).await.is(200);
    runner.poll().await.is_error(403, FORBIDDEN);
}

async fn check_10_deleting_an_unknown_runner_is_forbidden(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let delete = async |body: Value| {
        let api = &runner.api;
        api.json(Method::DELETE, "/runners/delete", &body).await
    };
    delete(json!({"token": "nope"}))
        .await
        .is_error(403, FORBIDDEN);
    // A registration token is no runner's.
    delete(json!({"token": farm.registration_token}))
        .await
        .is_error(403, FORBIDDEN);
    delete(json!({}))
        .await
        .is_error(400, r#"400 (Bad request) "token" not given"#);
    runner.expect_no_job().await;
}

async fn check_11_the_probe_of_a_known_runner_is_404(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let body = json!({"token": runner.token});
    let answer = runner.api.json(Method::PUT, "/builds/-1", &body).await;
    answer.is_error(404, "404 Not found");
}

async fn check_12_the_probe_of_an_unknown_runner_is_403(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    for body in [json!({"token": "nope"}), json!({})] {
        let answer = api.json(Method::PUT, "/builds/-1", &body).await;
        answer.is_error(403, FORBIDDEN);
    }
}

async fn check_13_the_probe_of_an_old_client_is_read_from_the_query(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let old = runner
        .api
        .clone()
        .with_user_agent(Some("Go 1.1 package http"));
    let known = format!("/builds/-1?token={}", runner.token);
    let answer = old.empty(Method::PUT, &known).await;
    answer.is_error(404, "404 Not found");
    let answer = old.empty(Method::PUT, "/builds/-1?token=nope").await;
    answer.is_error(403, FORBIDDEN);
}

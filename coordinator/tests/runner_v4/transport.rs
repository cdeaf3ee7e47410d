//! Checks 53 and 54: what holds of every request.

use reqwest::Method;
use serde_json::json;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::Claim;

on_both_back_ends!(
    check_53_nothing_is_ever_redirected,
    check_54_a_request_has_its_name_back,
    an_unreadable_body_is_a_bad_request,
);

async fn check_53_nothing_is_ever_redirected(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let job = format!("/jobs/{}", claim.id);
    for path in [
        "/runners",
        "/runners/verify",
        "/runners/managers",
        "/runners/reset_authentication_token",
        "/runners/1/reset_authentication_token",
        "/jobs/request",
        &job,
        &format!("{job}/trace"),
        &format!("{job}/artifacts"),
        "/nowhere",
    ] {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            for path in [path.to_owned(), format!("{path}/"), format!("/{path}")] {
                // The client itself makes sure of it.
                let api = &claim.runner.api;
                let answer = api.json(method.clone(), &path, &json!({})).await;
                assert!(answer.status >= 400, "{method} {path}: {answer:?}");
            }
        }
    }
}

async fn check_54_a_request_has_its_name_back(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let api = &claim.runner.api;
    let name = "0123456789abcdef0123456789abcdef";
    let asking = claim.runner.job_request();
    for (path, body, status) in [
        ("/jobs/request", &asking, 204),
        ("/jobs/request", &json!({"token": "bad"}), 403),
        ("/runners/verify", &asking, 200),
        ("/nowhere", &asking, 404),
    ] {
        let request = api.request(Method::POST, path).json(body);
        let answer = api.send(request.header("X-Request-Id", name)).await;
        let answer = answer.is(status);
        assert_eq!(answer.header("x-request-id"), Some(name), "{path}");
    }
    let answer = claim.patch("0-4", "hello").await.is(202);
    assert_eq!(answer.header("x-request-id"), None);
}

async fn an_unreadable_body_is_a_bad_request(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let api = &claim.runner.api;
    for body in ["{", "[]", "\"x\"", "{\"token\": 7}", "{\"system_id\": []}"] {
        for path in ["/runners", "/runners/verify", "/jobs/request"] {
            let request = api.request(Method::POST, path);
            let request = request.header("Content-Type", "application/json");
            api.send(request.body(body)).await.is(400);
        }
    }
}

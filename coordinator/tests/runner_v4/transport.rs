//! Redirects, request ids and unreadable bodies.
//!
//! See `docs/protocols/runner-v4.md#transport`.

use reqwest::Method;
use serde_json::json;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::Claim;

on_both_back_ends!(
    writes_are_never_redirected,
    request_id_is_returned,
    unreadable_body_is_a_bad_request,
);

async fn writes_are_never_redirected(backend: Backend) {
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
                // The test client asserts that no response is a redirect.
                let api = &claim.runner.api;
                let response = api.json(method.clone(), &path, &json!({})).await;
                assert!(response.status >= 400, "{method} {path}: {response:?}");
            }
        }
    }
}

async fn request_id_is_returned(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let api = &claim.runner.api;
    let id = "0123456789abcdef0123456789abcdef";
    let job_request = claim.runner.job_request();
    for (path, body, status) in [
        ("/jobs/request", &job_request, 204),
        ("/jobs/request", &json!({"token": "bad"}), 403),
        ("/runners/verify", &job_request, 200),
        ("/nowhere", &job_request, 404),
    ] {
        let request = api.request(Method::POST, path).json(body);
        let response = api.send(request.header("X-Request-Id", id)).await;
        let response = response.is(status);
        assert_eq!(response.header("x-request-id"), Some(id), "{path}");
    }
    let response = claim.patch("0-4", "hello").await.is(202);
    assert_eq!(response.header("x-request-id"), None);
}

async fn unreadable_body_is_a_bad_request(backend: Backend) {
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

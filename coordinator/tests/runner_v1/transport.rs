//! Paths, suffixes, redirects and connections.
//!
//! See `docs/protocols/runner-v1.md#transport`.

use reqwest::Method;
use serde_json::json;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claim, RunnerApi};
use crate::raw_http::Connection;

on_both_back_ends!(
    repeated_slashes_are_collapsed,
    endpoints_are_also_served_without_the_ci_prefix,
    writes_are_never_redirected,
    json_endpoints_accept_paths_with_and_without_suffix,
    unknown_path_returns_404_in_the_format_of_gitlab,
    connection_is_reused_after_each_kind_of_upload,
    refused_upload_is_read_completely,
    expect_100_continue_of_curl_is_answered,
);

/// The head and body of an upload.
fn multipart(token: &str, id: impl std::fmt::Display, length: usize) -> (String, String) {
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.zip\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n{}\r\n--b--\r\n",
        "z".repeat(length)
    );
    let head = format!(
        "POST /ci/api/v1/builds/{id}/artifacts? HTTP/1.1\r\nBuild-Token: {token}\r\n\
         Content-Type: multipart/form-data; boundary=b"
    );
    (head, body)
}

async fn repeated_slashes_are_collapsed(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let mut connection = Connection::to(&runner.api).await;
    let body = json!({"token": runner.token}).to_string();
    let json = "HTTP/1.1\r\nContent-Type: application/json";
    let head = format!("POST /ci//api/v1//builds/register.json {json}");
    let no_job = connection.request(&head, &body).await;
    assert_eq!(no_job.status, 404, "{no_job:?}");
    assert!(
        no_job
            .head
            .to_ascii_lowercase()
            .contains("x-gitlab-last-update")
    );
    farm.build(&project).await;
    let job = connection.request(&head, &body).await;
    assert_eq!(job.status, 201, "{job:?}");
    let probe = format!("PUT //ci//api/v1/builds/-1?token={} HTTP/1.1", runner.token);
    let probe = connection.request(&probe, "").await;
    assert_eq!(
        (probe.status, probe.body.as_str()),
        (404, r#"{"message":"404 Not found"}"#)
    );
}

async fn endpoints_are_also_served_without_the_ci_prefix(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm).with_prefix("/api/v1");
    let runner = api.register_runner(&farm).await;
    let key = runner.expect_no_job().await;
    farm.build(&project).await;
    let response = runner.poll_with_queue_key(&key).await;
    let claim = Claim::read(&runner, &response);
    claim.patch("0-5", "hello").await.is(202);
    claim.upload("", "a.zip", b"PK zip").await.is(201);
    claim.succeed().await;
    assert_eq!(claim.download().await.is(200).body, "PK zip");
    let body = json!({"token": runner.token});
    api.json(Method::DELETE, "/runners/delete", &body)
        .await
        .is(200);
}

async fn writes_are_never_redirected(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let id = claim.id;
    let paths = [
        "/runners/register".to_owned(),
        "/runners/delete".to_owned(),
        "/builds/register".to_owned(),
        "/builds/-1".to_owned(),
        format!("/builds/{id}"),
        format!("/builds/{id}/trace.txt"),
        format!("/builds/{id}/artifacts"),
        format!("/builds/{id}/artifacts/authorize"),
    ];
    let methods = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    for prefix in [
        "/ci/api/v1",
        "/api/v1",
        "/ci//api/v1",
        "/ci/ci/api/v1",
        "/CI/api/v1",
    ] {
        let api = RunnerApi::new(&farm).with_prefix(prefix);
        for path in &paths {
            for suffix in ["", "/", ".json", ".json/", "?token=nope", "?"] {
                for method in &methods {
                    let path = format!("{path}{suffix}");
                    // The test client asserts that no response is a redirect.
                    let body = json!({"token": "nope"});
                    let response = api.json(method.clone(), &path, &body).await;
                    let status = response.status;
                    assert!((400..500).contains(&status), "{method} {path}: {status}");
                }
            }
        }
    }
    claim.succeed().await;
}

async fn json_endpoints_accept_paths_with_and_without_suffix(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    for suffix in ["", ".json"] {
        let path = |path: &str| format!("{path}{suffix}");
        let body = json!({"token": farm.registration_token});
        let response = api
            .json(Method::POST, &path("/runners/register"), &body)
            .await;
        let token = response.is(201).json()["token"].clone();
        let body = json!({ "token": token });
        let poll = api
            .json(Method::POST, &path("/builds/register"), &body)
            .await;
        poll.no_job();
        let probe = api.json(Method::PUT, &path("/builds/-1"), &body).await;
        probe.fails_with(404, "404 Not found");
        let delete = api
            .json(Method::DELETE, &path("/runners/delete"), &body)
            .await;
        delete.is(200);
    }
}

async fn unknown_path_returns_404_in_the_format_of_gitlab(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    for path in ["/runners/verify", "/builds", "/nothing", "/builds/1/2/3"] {
        let response = api.json(Method::POST, path, &json!({})).await.is(404);
        assert_eq!(response.json(), json!({"error": "404 Not Found"}), "{path}");
    }
}

async fn connection_is_reused_after_each_kind_of_upload(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let mut connection = Connection::to(&claim.runner.api).await;
    // Chunked, so the body continues after the closing boundary of the form.
    let (head, body) = multipart(&claim.token, claim.id, 100_000);
    for _ in 0..3 {
        let head = format!("{head}\r\nHost: farm.test\r\nTransfer-Encoding: chunked\r\n\r\n");
        connection.send(head).await;
        for chunk in body.as_bytes().chunks(4096) {
            connection.send(format!("{:x}\r\n", chunk.len())).await;
            connection.send(chunk).await;
            connection.send("\r\n").await;
        }
        connection.send("0\r\n\r\n").await;
        let response = connection.response().await;
        assert_eq!(response.status, 201, "{response:?}");
    }
    let patch = format!(
        "PATCH /ci/api/v1/builds/{}/trace.txt HTTP/1.1\r\nBUILD-token: {}\r\nContent-Range: 0-5",
        claim.id, claim.token
    );
    let patched = connection.request(&patch, "hello").await;
    assert_eq!(patched.status, 202, "{patched:?}");
    assert_eq!(farm.trace(claim.id).await, b"hello");
}

async fn refused_upload_is_read_completely(backend: Backend) {
    let farm = TestFarm::start_with(backend, |config| {
        config.limits.max_artifact_bytes = 1000;
    })
    .await;
    let claim = Claim::of_new_build(&farm).await;
    // Far larger than all buffers in between, so it can only be sent if the server reads it.
    let (head, body) = multipart(&claim.token, claim.id, 16 << 20);
    let mut connection = Connection::to(&claim.runner.api).await;
    let response = connection.request(&head, &body).await;
    assert_eq!(response.status, 413, "{response:?}");
    // The connection can therefore be reused.
    let patch = format!(
        "PATCH /ci/api/v1/builds/{}/trace.txt HTTP/1.1\r\nBUILD-token: {}\r\nContent-Range: 0-5",
        claim.id, claim.token
    );
    let response = connection.request(&patch, "hello").await;
    assert_eq!(response.status, 202, "{response:?}");
    // The upload of somebody without the token is not read.
    let wrong_token = head.replace(&claim.token, "nope");
    let response = connection.request(&wrong_token, "").await;
    assert_eq!(response.status, 403, "{response:?}");
}

async fn expect_100_continue_of_curl_is_answered(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let (head, body) = multipart(&claim.token, claim.id, 5000);
    let mut connection = Connection::to(&claim.runner.api).await;
    let length = body.len();
    connection
        .send(format!(
            "{head}\r\nHost: farm.test\r\nUser-Agent: curl/7.38.0\r\nExpect: 100-continue\r\n\
             Content-Length: {length}\r\n\r\n"
        ))
        .await;
    assert_eq!(connection.response().await.status, 100);
    connection.send(body).await;
    assert_eq!(connection.response().await.status, 201);
}

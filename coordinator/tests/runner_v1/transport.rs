//! Checks 56 to 58, and what else old clients do with paths and connections.

use reqwest::Method;
use serde_json::json;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claim, RunnerApi};
use crate::raw_http::Connection;

on_both_back_ends!(
    check_56_two_slashes_are_one,
    check_57_the_bare_host_serves_the_protocol_too,
    check_58_nothing_that_changes_anything_is_redirected,
    json_endpoints_are_there_with_and_without_a_suffix,
    a_path_that_nobody_serves_says_so_in_gitlabs_words,
    a_connection_is_used_again_after_every_kind_of_upload,
    a_refused_upload_is_read_to_its_end,
    curl_is_told_to_continue,
);

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

async fn check_56_two_slashes_are_one(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let mut connection = Connection::to(&runner.api).await;
    let body = json!({"token": runner.token}).to_string();
    let json = "HTTP/1.1\r\nContent-Type: application/json";
    let head = format!("POST /ci//api/v1//builds/register.json {json}");
    let nothing = connection.request(&head, &body).await;
    assert_eq!(nothing.status, 404, "{nothing:?}");
    assert!(
        nothing
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

async fn check_57_the_bare_host_serves_the_protocol_too(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm).with_prefix("/api/v1");
    let runner = api.register_runner(&farm).await;
    let value = runner.expect_no_job().await;
    farm.build(&project).await;
    let answer = runner.poll_with_queue_key(&value).await;
    let claim = Claim::read(&runner, &answer);
    claim.patch("0-5", "hello").await.is(202);
    claim.upload("", "a.zip", b"PK zip").await.is(201);
    claim.succeed().await;
    assert_eq!(claim.download().await.is(200).body, "PK zip");
    let body = json!({"token": runner.token});
    api.json(Method::DELETE, "/runners/delete", &body)
        .await
        .is(200);
}

async fn check_58_nothing_that_changes_anything_is_redirected(backend: Backend) {
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
                    // Sending it checks that the answer is no 3xx.
                    let body = json!({"token": "nope"});
                    let answer = api.json(method.clone(), &path, &body).await;
                    let status = answer.status;
                    assert!((400..500).contains(&status), "{method} {path}: {status}");
                }
            }
        }
    }
    claim.succeed().await;
}

async fn json_endpoints_are_there_with_and_without_a_suffix(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    for suffix in ["", ".json"] {
        let path = |path: &str| format!("{path}{suffix}");
        let body = json!({"token": farm.registration_token});
        let answer = api
            .json(Method::POST, &path("/runners/register"), &body)
            .await;
        let token = answer.is(201).json()["token"].clone();
        let body = json!({ "token": token });
        let poll = api
            .json(Method::POST, &path("/builds/register"), &body)
            .await;
        poll.no_job();
        let probe = api.json(Method::PUT, &path("/builds/-1"), &body).await;
        probe.is_error(404, "404 Not found");
        let delete = api
            .json(Method::DELETE, &path("/runners/delete"), &body)
            .await;
        delete.is(200);
    }
}

async fn a_path_that_nobody_serves_says_so_in_gitlabs_words(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    for path in ["/runners/verify", "/builds", "/nothing", "/builds/1/2/3"] {
        let answer = api.json(Method::POST, path, &json!({})).await.is(404);
        assert_eq!(answer.json(), json!({"error": "404 Not Found"}), "{path}");
    }
}

async fn a_connection_is_used_again_after_every_kind_of_upload(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let mut connection = Connection::to(&claim.runner.api).await;
    // Chunked, with more after the file than the closing line, as a form may have.
    let (head, body) = multipart(&claim.token, claim.id, 100_000);
    for _ in 0..3 {
        let head = format!("{head}\r\nHost: farm.test\r\nTransfer-Encoding: chunked\r\n\r\n");
        connection.send(head).await;
        for piece in body.as_bytes().chunks(4096) {
            connection.send(format!("{:x}\r\n", piece.len())).await;
            connection.send(piece).await;
            connection.send("\r\n").await;
        }
        connection.send("0\r\n\r\n").await;
        let answer = connection.answer().await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let forbidden = connection
        .request(&head.replace(&claim.token, "nope"), &body)
        .await;
    assert_eq!(forbidden.status, 403, "{forbidden:?}");
    let patch = format!(
        "PATCH /ci/api/v1/builds/{}/trace.txt HTTP/1.1\r\nBUILD-token: {}\r\nContent-Range: 0-5",
        claim.id, claim.token
    );
    let patched = connection.request(&patch, "hello").await;
    assert_eq!(patched.status, 202, "{patched:?}");
    assert_eq!(farm.trace(claim.id).await, b"hello");
}

async fn a_refused_upload_is_read_to_its_end(backend: Backend) {
    let farm = TestFarm::start_with(backend, |config| {
        config.limits.max_artifact_bytes = 1000;
    })
    .await;
    let claim = Claim::of_new_build(&farm).await;
    // Far more than the buffers between the two hold: it is only sent whole if it is read.
    let (head, body) = multipart(&claim.token, claim.id, 16 << 20);
    let mut connection = Connection::to(&claim.runner.api).await;
    let answer = connection.request(&head, &body).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    // And so the connection is as good as before.
    let stranger = head.replace(&claim.token, "nope");
    let answer = connection.request(&stranger, &body).await;
    assert_eq!(answer.status, 403, "{answer:?}");
}

async fn curl_is_told_to_continue(backend: Backend) {
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
    assert_eq!(connection.answer().await.status, 100);
    connection.send(body).await;
    assert_eq!(connection.answer().await.status, 201);
}

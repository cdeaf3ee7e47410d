//! Unreadable headers and forms, and requests that end early.
//!
//! See `docs/protocols/runner-v1.md#invalid-requests`.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claim, USER_AGENT};
use crate::malformed::assert_bad_request;
use crate::raw_http::Connection;

on_both_back_ends!(
    unreadable_headers_are_treated_as_missing,
    upload_refuses_an_unreadable_form,
    incomplete_request_changes_nothing,
);

async fn unreadable_headers_are_treated_as_missing(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    for below in ["trace.txt", "artifacts"] {
        let method = if below == "trace.txt" {
            Method::PATCH
        } else {
            Method::DELETE
        };
        let request = claim
            .runner
            .api
            .request(method, &format!("/builds/{}/{below}", claim.id));
        let request = request.header("BUILD-TOKEN", &b"\xff\xfe"[..]);
        claim.runner.api.send(request).await.is(403);
    }
    // An unreadable `User-Agent` counts as an unknown client, and an unreadable `Prefer` as absent.
    let runner = &claim.runner;
    let body = json!({"token": runner.token});
    let request = runner.api.clone().with_user_agent(None);
    let poll = request
        .request(Method::POST, "/builds/register")
        .json(&body);
    let poll = poll.header("User-Agent", &b"\xff\xfe"[..]);
    runner.api.send(poll).await.is(404);
    for prefer in [
        &b"wait="[..],
        b"wait=x",
        b"wait=-1",
        b"\xff",
        b"wait",
        b",;,",
    ] {
        let path = format!("/builds/{}", claim.id);
        let update = runner.api.request(Method::PUT, &path).json(&body);
        runner
            .api
            .send(update.header("Prefer", prefer))
            .await
            .is(200);
    }
}

async fn upload_refuses_an_unreadable_form(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let file =
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.zip\"\r\n\r\nzip";
    let no_boundary = "multipart/form-data; boundary=";
    let form = "multipart/form-data; boundary=b";
    let many = "--b\r\nX: y\r\n\r\n\r\n".repeat(1000);
    for (content_type, body) in [
        ("text/plain", "zip"),
        ("multipart/form-data", file),
        (no_boundary, file),
        ("multipart", file),
        ("\u{fc}", file),
        (form, ""),
        (form, "zip"),
        (form, "--c\r\n\r\nzip\r\n--c--\r\n"),
        (
            form,
            "--b\r\nContent-Disposition: form-data\r\n\r\nzip\r\n--b--\r\n",
        ),
        (form, "--b\r\nno header\r\n\r\nzip\r\n--b--\r\n"),
        (form, file),
        (form, &many),
    ] {
        let request = claim.request(Method::POST, "artifacts");
        let request = request.header("Content-Type", content_type.as_bytes());
        let response = claim.runner.api.send(request.body(body.to_owned())).await;
        assert_bad_request(response, &format!("{content_type} {body:.40}"));
    }
    let long = Form::new().text("expire_in", "1".repeat(5000));
    let not_utf8 = Form::new().part("expire_in", Part::bytes(&b"\xff\xfe"[..]));
    for fields in [long, not_utf8] {
        let zip = fields.part("file", Part::bytes(&b"zip"[..]).file_name("a.zip"));
        let request = claim.request(Method::POST, "artifacts").multipart(zip);
        assert_bad_request(claim.runner.api.send(request).await, "a field");
    }
    for time in [
        "soon",
        "-1+day",
        "7+dayz",
        "1e9",
        "1.2.3+days",
        "999999999999999+years",
        "%00",
    ] {
        let query = format!("expire_in={time}");
        assert_bad_request(claim.upload(&query, "a.zip", b"zip").await, time);
    }
    assert!(farm.artifacts(claim.id).await.is_empty());
}

async fn incomplete_request_changes_nothing(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let registered = farm.runners().await.len();
    let api = &claim.runner.api;
    let head = |first: &str, more: &str| {
        format!("{first} HTTP/1.1\r\nHost: farm.test\r\nUser-Agent: {USER_AGENT}\r\n{more}\r\n\r\n")
    };
    let token = &claim.token;
    let form = format!("Build-Token: {token}\r\nContent-Type: multipart/form-data; boundary=b");
    let upload = format!("POST /ci/api/v1/builds/{}/artifacts?", claim.id);
    let file =
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.zip\"\r\n\r\nzip";
    let register = json!({"token": farm.registration_token}).to_string();
    let trace = format!("Build-Token: {token}\r\nContent-Range: 0-100\r\nContent-Length: 100");
    let json = "Content-Type: application/json\r\nContent-Length: 1000";
    let end = json!({"token": claim.runner.token, "state": "success"}).to_string();
    for (head, body) in [
        (
            head("POST /ci/api/v1/runners/register", json),
            register.as_str(),
        ),
        (
            head(&format!("PUT /ci/api/v1/builds/{}", claim.id), json),
            &end,
        ),
        (
            head(
                &format!("PATCH /ci/api/v1/builds/{}/trace.txt", claim.id),
                &trace,
            ),
            "hello",
        ),
        (
            head(&upload, &format!("{form}\r\nContent-Length: 1000")),
            file,
        ),
        (
            head(&upload, &format!("{form}\r\nTransfer-Encoding: chunked")),
            &format!("{:x}\r\n{file}\r\n", file.len()),
        ),
        (
            head(&upload, &format!("{form}\r\nTransfer-Encoding: chunked")),
            &format!("ffff\r\n{file}"),
        ),
        (
            head(&upload, &format!("{form}\r\nTransfer-Encoding: chunked")),
            "not hex\r\n",
        ),
        ("PUT /ci/api/v1/builds/1 HT".to_owned(), ""),
    ] {
        let mut connection = Connection::to(api).await;
        connection.send(&head).await;
        connection.send(body).await;
        let response = connection.close_and_read_rest().await;
        let status: Option<u16> = response.split(' ').nth(1).map(|word| word.parse().unwrap());
        assert!(
            status.is_none_or(|status| (400..500).contains(&status)),
            "{head}{response}"
        );
    }
    assert_eq!(farm.runners().await.len(), registered);
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
    assert_eq!(farm.trace(claim.id).await, b"");
    assert!(farm.artifacts(claim.id).await.is_empty());
    claim.succeed().await;
}

//! Headers, forms and connections that make no sense, or end too early: a 4xx with a sentence, and
//! nothing half-made.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claim, USER_AGENT};
use crate::malformed::explained;
use crate::raw_http::Connection;

on_both_back_ends!(
    a_range_that_cannot_be_read_adds_nothing,
    a_header_that_cannot_be_read_is_no_token,
    a_form_that_cannot_be_read_stores_nothing,
    a_request_that_breaks_off_leaves_nothing,
    any_name_of_an_archive_comes_back_in_a_header,
);

async fn a_range_that_cannot_be_read_adds_nothing(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let unread = "400 (Bad request) Content-Range must be START-END, in bytes";
    for range in [
        "",
        "0",
        "-",
        "0-",
        "-5",
        "a-b",
        "0-x",
        "x-5",
        "0,5",
        "bytes=0-5",
        "0-5-9",
        "1.0-5",
        "18446744073709551616-5",
        "0x0-5",
    ] {
        let answer = claim.patch(range, "hello").await;
        assert_eq!(answer.status, 400, "{range:?}: {answer:?}");
        answer.is_text_error(400, unread);
    }
    let answer = claim.patch("18446744073709551615-5", "hello").await;
    assert_eq!(answer.is(416).header("Range"), Some("0-0"));
    let request = claim.request(Method::PATCH, "trace.txt");
    let request = request.header("Content-Range", &b"0-\xff5"[..]);
    let answer = claim.runner.api.send(request.body("hello")).await;
    answer.is_text_error(400, unread);
    assert_eq!(farm.trace(claim.id).await, b"");
    // The end of a range is not believed, whatever it says.
    claim.patch("0-999999", "hello").await.is(202);
    assert_eq!(farm.trace(claim.id).await, b"hello");
}

async fn a_header_that_cannot_be_read_is_no_token(backend: Backend) {
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
    // An agent that is no text is nobody known, and a wish that makes no sense is none.
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
        let beat = runner.api.request(Method::PUT, &path).json(&body);
        runner.api.send(beat.header("Prefer", prefer)).await.is(200);
    }
}

async fn a_form_that_cannot_be_read_stores_nothing(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let file =
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.zip\"\r\n\r\nzip";
    let odd = "multipart/form-data; boundary=";
    let form = "multipart/form-data; boundary=b";
    let many = "--b\r\nX: y\r\n\r\n\r\n".repeat(1000);
    for (content_type, body) in [
        ("text/plain", "zip"),
        ("multipart/form-data", file),
        (odd, file),
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
        let answer = claim.runner.api.send(request.body(body.to_owned())).await;
        explained(answer, &format!("{content_type} {body:.40}"));
    }
    let long = Form::new().text("expire_in", "1".repeat(5000));
    let rough = Form::new().part("expire_in", Part::bytes(&b"\xff\xfe"[..]));
    for fields in [long, rough] {
        let zip = fields.part("file", Part::bytes(&b"zip"[..]).file_name("a.zip"));
        let request = claim.request(Method::POST, "artifacts").multipart(zip);
        explained(claim.runner.api.send(request).await, "a field");
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
        explained(claim.upload(&query, "a.zip", b"zip").await, time);
    }
    assert!(farm.artifacts(claim.id).await.is_empty());
}

async fn a_request_that_breaks_off_leaves_nothing(backend: Backend) {
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
        let answer = connection.break_off().await;
        let status: Option<u16> = answer.split(' ').nth(1).map(|word| word.parse().unwrap());
        assert!(
            status.is_none_or(|status| (400..500).contains(&status)),
            "{head}{answer}"
        );
    }
    assert_eq!(farm.runners().await.len(), registered);
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
    assert_eq!(farm.trace(claim.id).await, b"");
    assert!(farm.artifacts(claim.id).await.is_empty());
    claim.succeed().await;
}

async fn any_name_of_an_archive_comes_back_in_a_header(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    for (given, kept) in [
        ("my build.zip", "my build.zip"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.zip", "a.zip"),
        ("...", "artifacts.zip"),
        ("", "artifacts.zip"),
        ("\u{fc}ber.zip", "\u{fc}ber.zip"),
    ] {
        let job = claim.upload("", given, b"zip").await.is(201).json();
        assert_eq!(job["artifacts_file"]["filename"], kept, "{given}");
        let answer = claim.download().await.is(200);
        let disposition = answer.headers["content-disposition"].as_bytes();
        let expected = format!("attachment; filename={kept}");
        assert_eq!(disposition, expected.as_bytes(), "{given}");
    }
}

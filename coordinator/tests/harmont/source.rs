//! Sources of new builds.
//!
//! See `docs/protocols/harmont.md#sources`.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{ApiResponse, BUILDS, Fixture, build_request, independent_steps};

on_both_back_ends!(
    source_must_be_standard_base64_with_padding,
    runner_downloads_the_uploaded_source_with_its_token,
    source_url_follows_the_proxy_or_the_public_url,
    body_over_the_limit_returns_413,
    external_source_url_is_sent_without_a_token,
    deleting_a_project_deletes_its_sources,
);

fn new_build(source: &str) -> Value {
    let mut body = build_request(&independent_steps(&["a"]));
    body["source_b64"] = source.into();
    body
}

async fn source_must_be_standard_base64_with_padding(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let bytes = [0xfb, 0xff, 0xfe, 0x01];
    let (url_safe, bare) = (URL_SAFE.encode(bytes), STANDARD_NO_PAD.encode(bytes));
    let broken = format!("{}\n", STANDARD.encode(bytes));
    for source in ["***", &url_safe, &bare, &broken] {
        let response = fixture.member.post(BUILDS, &new_build(source)).await;
        response.fails_with_code(422, "validation_failed", "build_invalid");
    }
    let mut other = new_build(&STANDARD.encode(bytes));
    other["source_sha256"] = "00".repeat(32).into();
    let response = fixture.member.post(BUILDS, &other).await;
    response.fails_with_code(422, "validation_failed", "build_invalid");
    assert_eq!(fixture.farm.stored_blobs(), 0);
    let good = fixture
        .member
        .post(BUILDS, &new_build(&STANDARD.encode(bytes)))
        .await;
    assert_eq!(good.is(201).json()["number"], 1);
    fixture.member.post(BUILDS, &new_build("")).await.is(201);
}

async fn runner_downloads_the_uploaded_source_with_its_token(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let bytes = b"\x1f\x8b an archive";
    let mut body = new_build(&STANDARD.encode(bytes));
    body["source_url"] = "https://elsewhere.example/x.tar.gz".into();
    let created = fixture.member.post(BUILDS, &body).await.is(201);
    let claim = fixture.register_runner().await.claim().await;
    let source = &claim.payload["own"]["source"];
    let url = source["url"].as_str().unwrap();
    let build = claim.payload["own"]["build"].as_str().unwrap();
    let path = format!("/api/v0/internal/builds/{build}/source.tar.gz");
    assert_eq!(url, fixture.farm.url(&path));
    let token = source["token"].as_str().unwrap();
    assert!(!String::from_utf8_lossy(&created.body).contains(token));
    for _ in 0..2 {
        let response = fixture.anonymous.with_token(token).get(&path).await.is(200);
        assert_eq!(response.header("content-type"), Some("application/gzip"));
        assert_eq!(response.body, &bytes[..]);
    }
    let other = {
        fixture.member.post(BUILDS, &new_build("")).await.is(201);
        fixture.register_runner().await.claim().await
    };
    let other = other.payload["own"]["source"]["token"]
        .as_str()
        .unwrap()
        .to_owned();
    for client in [
        &fixture.anonymous,
        &fixture.member,
        &fixture.member.with_token("x"),
        &fixture.member.with_token(&other),
    ] {
        let response = client.get(&path).await;
        response.fails_with_code(401, "unauthorized", "unauthorized");
    }
    for unknown in ["0190a5d0-ac96-7b4b-8cce-b302099a8057", "x"] {
        let path = format!("/api/v0/internal/builds/{unknown}/source.tar.gz");
        let response = fixture.anonymous.with_token(token).get(&path).await;
        response.fails_with_code(404, "not_found", "source_not_found");
    }
}

async fn source_url_follows_the_proxy_or_the_public_url(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let request = fixture.member.request(reqwest::Method::POST, BUILDS);
    let request = request.header("X-Forwarded-Proto", "https, http");
    ApiResponse::to(
        request
            .json(&new_build(""))
            .header("Host", "ci.example:8443"),
    )
    .await
    .is(201);
    let claim = fixture.register_runner().await.claim().await;
    let url = claim.payload["own"]["source"]["url"].as_str().unwrap();
    assert!(
        url.starts_with("https://ci.example/api/v0/internal/"),
        "{url}"
    );
    let fixture = Fixture::with(backend, |config| {
        config.public_url = Some("https://farm.example:444/".to_owned());
    });
    let fixture = fixture.await;
    fixture.member.post(BUILDS, &new_build("")).await.is(201);
    let claim = fixture.register_runner().await.claim().await;
    let url = claim.payload["own"]["source"]["url"].as_str().unwrap();
    assert!(
        url.starts_with("https://farm.example:444/api/v0/internal/"),
        "{url}"
    );
}

async fn body_over_the_limit_returns_413(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let six = STANDARD.encode(vec![7; 6 << 20]);
    fixture.member.post(BUILDS, &new_build(&six)).await.is(201);
    let more = STANDARD.encode(vec![7; 13 << 20]);
    let response = fixture.member.post(BUILDS, &new_build(&more)).await;
    response.fails_with_code(413, "invalid_request", "payload_too_large");
    assert_eq!(fixture.count_builds().await, 1);
}

async fn external_source_url_is_sent_without_a_token(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut body = build_request(&independent_steps(&["a"]));
    body["source_url"] = "https://elsewhere.example/x.tar.gz".into();
    body["source_sha256"] = "AB".repeat(32).into();
    fixture.member.post(BUILDS, &body).await.is(201);
    let claim = fixture.register_runner().await.claim().await;
    let expected = json!({
        "url": "https://elsewhere.example/x.tar.gz", "sha256": "ab".repeat(32),
    });
    assert_eq!(claim.payload["own"]["source"], expected);
}

async fn deleting_a_project_deletes_its_sources(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture
        .member
        .post(BUILDS, &new_build(&STANDARD.encode(b"x")))
        .await
        .is(201);
    assert_eq!(fixture.farm.stored_blobs(), 1);
    let access = fixture.farm.project("acme/web").await;
    fixture.farm.farm().delete_project(&access).await.unwrap();
    assert_eq!(fixture.farm.stored_blobs(), 0);
}

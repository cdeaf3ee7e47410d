//! Rules for all endpoints: errors, methods, media types, CORS and health checks.
//!
//! See `docs/protocols/harmont.md#transport` and `docs/protocols/harmont.md#errors`.

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, ORIGIN};
use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{ApiResponse, BUILDS, Fixture, build_request, two_steps};

on_both_back_ends!(
    error_contains_the_request_id_and_a_link,
    other_methods_return_405_with_allow,
    requests_and_responses_must_be_json,
    ping_and_healthz_need_no_token,
    cors_headers_are_sent_only_to_configured_origins,
);

async fn error_contains_the_request_id_and_a_link(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture.create_locked_pipeline().await;
    let error = fixture.member.get(&format!("{BUILDS}/9")).await;
    let error = error.fails_with_code(404, "not_found", "build_not_found");
    assert!(
        error["doc_url"]
            .as_str()
            .unwrap()
            .ends_with("/build-not-found")
    );
    let error = fixture
        .member
        .post(
            &BUILDS.replace("web", "locked"),
            &build_request(&two_steps()),
        )
        .await;
    let error = error.fails_with_code(403, "forbidden", "pipeline_manual_disabled");
    let link = error["doc_url"].as_str().unwrap();
    assert!(link.ends_with("/pipeline_manual_disabled"));
    let returned_id = async |id: &str| {
        let request = fixture.member.request(Method::GET, BUILDS);
        let response = ApiResponse::to(request.header("x-request-id", id))
            .await
            .is(200);
        response.header("x-request-id").unwrap().to_owned()
    };
    let (long, short) = ("a-name-of-twenty-bytes", "too-short");
    assert_eq!(returned_id(long).await, long);
    assert_ne!(returned_id(short).await, short);
}

async fn other_methods_return_405_with_allow(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture.create_build(&two_steps()).await;
    for (method, path, allowed) in [
        (Method::DELETE, format!("{BUILDS}/1"), "GET, HEAD"),
        (Method::POST, format!("{BUILDS}/1/cancel"), "PUT"),
        (Method::PATCH, BUILDS.to_owned(), "GET, HEAD, POST"),
    ] {
        let response = fixture.member.send_empty(method, &path).await;
        assert_eq!(response.header("allow"), Some(allowed));
        response.fails_with_code(405, "invalid_request", "method_not_allowed");
    }
    let response = fixture.member.get("/api/v0/nothing").await;
    response.fails_with_code(404, "not_found", "route_not_found");
    let response = fixture
        .member
        .send_empty(Method::HEAD, &format!("{BUILDS}/1"))
        .await
        .is(200);
    assert!(response.body.is_empty());
}

async fn requests_and_responses_must_be_json(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let request = fixture.anonymous.request(Method::GET, BUILDS);
    let response = ApiResponse::to(request.header(ACCEPT, "text/html")).await;
    response.fails_with_code(406, "invalid_request", "not_acceptable");
    let request = fixture.member.request(Method::POST, BUILDS);
    let response = ApiResponse::to(request.header(CONTENT_TYPE, "text/plain").body("{}")).await;
    response.fails_with_code(415, "invalid_request", "unsupported_media_type");
    let request = fixture.member.request(Method::POST, BUILDS);
    let request = request.header(CONTENT_TYPE, "application/json");
    let response = ApiResponse::to(request.body(vec![b'"', 0xff, b'"'])).await;
    response.fails_with_code(400, "invalid_request", "invalid_json");
}

async fn ping_and_healthz_need_no_token(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let ping = fixture.anonymous.get("/api/v0/ping").await.is(200);
    assert_eq!(ping.json(), json!({"status": "ok"}));
    assert_eq!(fixture.anonymous.get("/healthz").await.is(200).body, "ok");
    fixture.farm.farm().stop();
    assert_eq!(
        fixture.anonymous.get("/healthz").await.is(503).body,
        "draining"
    );
}

async fn cors_headers_are_sent_only_to_configured_origins(backend: Backend) {
    let known = "https://dash.example";
    let fixture = Fixture::with(backend, |config| {
        config.harmont.browser_origins = vec![known.to_owned()];
    });
    let fixture = fixture.await;
    let preflight = async |origin: &str| {
        let request = fixture.anonymous.request(Method::OPTIONS, BUILDS);
        let request = request.header("access-control-request-method", "POST");
        ApiResponse::to(request.header(ORIGIN, origin))
            .await
            .is(204)
    };
    let allowed = preflight(known).await;
    assert_eq!(allowed.header("access-control-allow-origin"), Some(known));
    assert_eq!(
        allowed.header("access-control-allow-credentials"),
        Some("true")
    );
    assert_eq!(allowed.header("access-control-max-age"), Some("600"));
    let other = preflight("https://other.example").await;
    assert_eq!(other.header("access-control-allow-origin"), None);
    let request = fixture
        .member
        .request(Method::GET, BUILDS)
        .header(ORIGIN, known);
    let response = ApiResponse::to(request).await.is(200);
    assert_eq!(response.header("access-control-allow-origin"), Some(known));
}

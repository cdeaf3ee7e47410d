//! Paths, methods, headers of every response, and descriptions of errors.
//!
//! See `docs/protocols/quay.md#transport` and `#errors`.

use reqwest::Method;
use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{BUILDS, SOURCE_URL, send};
use crate::fixture::Fixture;

on_both_back_ends!(
    every_problem_type_has_a_description,
    unknown_problem_type_returns_404,
    missing_final_slash_redirects_with_308,
    extra_final_slash_returns_404,
    unsupported_method_returns_405,
    post_to_logs_returns_405,
    repository_name_may_contain_slashes,
    repository_without_namespace_returns_404,
    every_response_allows_other_origins,
    head_returns_the_status_and_headers_of_get,
    paths_of_the_runner_protocol_are_not_shadowed,
);

async fn every_problem_type_has_a_description(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let invalid = fixture.writer.post(BUILDS, &json!({})).await.is(400);
    let problems = [
        fixture.anonymous.get(BUILDS).await,
        fixture.identity_only.get(BUILDS).await,
        fixture.reader.get(&format!("{BUILDS}nothing")).await,
        invalid,
    ];
    for response in problems {
        let body = response.json();
        let description = fixture.anonymous.get(body["type"].as_str().unwrap()).await;
        let description = description.is(200).json();
        assert_eq!(description["title"], body["title"]);
        assert_eq!(description["type"], body["type"]);
        assert!(description["description"].is_string());
    }
}

async fn unknown_problem_type_returns_404(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let response = fixture.anonymous.get("/api/v1/error/nope").await;
    response.fails_with_problem(404, "not_found");
}

async fn missing_final_slash_redirects_with_308(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let without = BUILDS.trim_end_matches('/');
    let target = fixture.farm.url(BUILDS);
    let response = fixture.reader.get(without).await.is(308);
    assert_eq!(response.header("location"), Some(target.as_str()));
    let response = fixture
        .writer
        .post(without, &json!({ "archive_url": SOURCE_URL }))
        .await;
    assert_eq!(response.is(308).header("location"), Some(target.as_str()));
    let response = fixture
        .reader
        .get(&format!("{without}?limit=2"))
        .await
        .is(308);
    let with_query = format!("{target}?limit=2");
    assert_eq!(response.header("location"), Some(with_query.as_str()));
    let response = fixture
        .identity_only
        .post("/api/v1/filedrop", &json!({}))
        .await
        .is(308);
    let target = fixture.farm.url("/api/v1/filedrop/");
    assert_eq!(response.header("location"), Some(target.as_str()));
}

async fn extra_final_slash_returns_404(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.create_build().await;
    for path in ["/", "/status/", "/logs/"] {
        let response = fixture.admin.get(&format!("{BUILDS}{id}{path}")).await;
        response.fails_with_problem(404, "not_found");
    }
}

async fn unsupported_method_returns_405(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for (method, path) in [
        (Method::PUT, BUILDS.to_owned()),
        (Method::PATCH, BUILDS.to_owned()),
        (Method::POST, format!("{BUILDS}some-build")),
        (Method::DELETE, format!("{BUILDS}some-build/status")),
        (Method::PUT, "/api/v1/filedrop/".to_owned()),
        (Method::POST, "/api/v1/error/not_found".to_owned()),
    ] {
        let response = send(fixture.admin.request(method, &path)).await;
        assert!(response.fails_with_message(405).is_string(), "{path}");
    }
}

async fn post_to_logs_returns_405(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.create_build().await;
    let response = fixture
        .admin
        .post(&format!("{BUILDS}{id}/logs"), &json!({}))
        .await;
    response.fails_with_message(405);
}

async fn repository_name_may_contain_slashes(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let list = "/api/v1/repository/ada/team/app/build/";
    let response = fixture.reader.get(list).await.is(200);
    assert_eq!(response.json(), json!({ "builds": [] }));
    let foreign = "/api/v1/repository/bob/team/app/build/";
    fixture
        .reader
        .get(foreign)
        .await
        .fails_with_problem(403, "insufficient_scope");
}

async fn repository_without_namespace_returns_404(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let list = "/api/v1/repository/app/build/";
    fixture
        .reader
        .get(list)
        .await
        .fails_with_problem(404, "not_found");
}

async fn every_response_allows_other_origins(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    // `send` asserts the allowed origin of every response.
    for path in [BUILDS, "/api/v1/filedrop/", "/api/v1/error/not_found"] {
        let response = send(
            fixture
                .anonymous
                .request_without_token(Method::OPTIONS, path),
        )
        .await
        .is(200);
        assert_eq!(
            response.header("access-control-allow-methods"),
            Some("DELETE, GET, HEAD, OPTIONS, POST, PUT")
        );
        assert_eq!(response.header("access-control-max-age"), Some("21600"));
        assert_eq!(
            response.header("access-control-allow-headers"),
            Some("AUTHORIZATION, CONTENT-TYPE, X-REQUESTED-WITH")
        );
    }
}

async fn head_returns_the_status_and_headers_of_get(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let response = send(fixture.reader.request(Method::HEAD, BUILDS))
        .await
        .is(200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert!(response.body.is_empty());
    send(
        fixture
            .anonymous
            .request_without_token(Method::HEAD, BUILDS),
    )
    .await
    .is(401);
    let id = fixture.create_build().await;
    let logs = format!("{BUILDS}{id}/logs");
    for path in [
        format!("{BUILDS}{id}"),
        format!("{BUILDS}{id}/status"),
        logs,
    ] {
        let response = send(fixture.reader.request(Method::HEAD, &path))
            .await
            .is(200);
        assert!(response.body.is_empty(), "{path}");
    }
}

async fn paths_of_the_runner_protocol_are_not_shadowed(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let body = json!({"token": "none"});
    for path in [
        "/api/v1/builds/register.json",
        "/api/v1/runners/register.json",
    ] {
        let request = fixture.farm.http.post(fixture.farm.url(path)).json(&body);
        assert_eq!(request.send().await.unwrap().status(), 403, "{path}");
    }
}

//! Tokens, scopes and rights.
//!
//! See `docs/protocols/quay.md#authentication`.

use reqwest::Method;
use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{BUILDS, PUBLIC_BUILDS, SOURCE_URL, send};
use crate::fixture::Fixture;

on_both_back_ends!(
    request_without_token_returns_401,
    expired_token_returns_401,
    token_is_read_only_from_a_bearer_header,
    authorization_scheme_is_case_insensitive,
    token_without_repository_scope_returns_403,
    reader_lists_the_builds_of_a_private_repository,
    public_repository_is_readable_with_any_token_and_without,
    create_without_token_returns_401,
    reader_cannot_create_builds,
    writer_cannot_cancel_builds,
    repository_of_another_namespace_returns_403_even_if_it_does_not_exist,
    missing_repository_of_an_own_namespace_has_an_empty_list,
    create_in_a_missing_repository_returns_404_after_the_body_is_checked,
);

const UNAUTHORIZED: &str = "Unauthorized";

async fn request_without_token_returns_401(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let body = fixture
        .anonymous
        .get(BUILDS)
        .await
        .fails_with_problem(401, "invalid_token");
    assert_eq!(body["detail"], "Requires authentication");
    let unknown = "/api/v1/repository/ada/nothing/build/";
    fixture
        .anonymous
        .get(unknown)
        .await
        .fails_with_problem(401, "invalid_token");
}

async fn expired_token_returns_401(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    fixture
        .expired
        .get(BUILDS)
        .await
        .fails_with_problem(401, "invalid_token");
}

async fn token_is_read_only_from_a_bearer_header(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let request = fixture.anonymous.request_without_token(Method::GET, BUILDS);
    let request = request.basic_auth("$oauthtoken", Some(&fixture.reader.token));
    send(request).await.fails_with_problem(401, "invalid_token");
    let in_query = format!("{BUILDS}?access_token={}", fixture.reader.token);
    fixture
        .anonymous
        .get(&in_query)
        .await
        .fails_with_problem(401, "invalid_token");
}

async fn authorization_scheme_is_case_insensitive(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let request = fixture.anonymous.request_without_token(Method::GET, BUILDS);
    let header = format!("bearer {}", fixture.reader.token);
    send(request.header("authorization", header)).await.is(200);
}

async fn token_without_repository_scope_returns_403(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let response = fixture.identity_only.get(BUILDS).await;
    response.fails_with_detail(403, "insufficient_scope", UNAUTHORIZED);
}

async fn reader_lists_the_builds_of_a_private_repository(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let response = fixture.reader.get(BUILDS).await.is(200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.json(), json!({ "builds": [] }));
}

async fn public_repository_is_readable_with_any_token_and_without(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let list = PUBLIC_BUILDS;
    for client in [
        &fixture.anonymous,
        &fixture.expired,
        &fixture.identity_only,
        &fixture.reader,
        &fixture.bob,
    ] {
        client.get(list).await.is(200);
    }
    let request = fixture.anonymous.request_without_token(Method::GET, list);
    send(request.bearer_auth("garbage")).await.is(200);
}

/// Quay itself returns 403, which the farm has no setting for.
async fn create_without_token_returns_401(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let body = json!({ "archive_url": SOURCE_URL });
    for list in [BUILDS, PUBLIC_BUILDS] {
        let response = fixture.anonymous.post(list, &body).await;
        response.fails_with_problem(401, "invalid_token");
    }
}

async fn reader_cannot_create_builds(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let response = fixture
        .reader
        .post(BUILDS, &json!({ "archive_url": SOURCE_URL }))
        .await;
    response.fails_with_detail(403, "insufficient_scope", UNAUTHORIZED);
    // Rights are checked before the body.
    let response = fixture.reader.post(BUILDS, &json!({})).await;
    response.fails_with_problem(403, "insufficient_scope");
}

async fn writer_cannot_cancel_builds(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.create_build().await;
    let response = fixture.writer.delete(&format!("{BUILDS}{id}")).await;
    response.fails_with_problem(403, "insufficient_scope");
    assert_eq!(fixture.phase(&id).await, "waiting");
}

async fn repository_of_another_namespace_returns_403_even_if_it_does_not_exist(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for path in ["bob/x", "bob/nothing", "nobody/nothing", "no%20name/x"] {
        let list = format!("/api/v1/repository/{path}/build/");
        let response = fixture.admin.get(&list).await;
        response.fails_with_detail(403, "insufficient_scope", UNAUTHORIZED);
        let response = fixture
            .admin
            .post(&list, &json!({ "archive_url": SOURCE_URL }))
            .await;
        response.fails_with_detail(403, "insufficient_scope", UNAUTHORIZED);
        let response = fixture.admin.get(&format!("{list}some-build/logs")).await;
        response.fails_with_problem(403, "insufficient_scope");
    }
}

async fn missing_repository_of_an_own_namespace_has_an_empty_list(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let list = "/api/v1/repository/ada/nothing/build/";
    let response = fixture.reader.get(list).await.is(200);
    assert_eq!(response.json(), json!({ "builds": [] }));
    let one = fixture.reader.get(&format!("{list}some-build")).await;
    one.fails_with_problem(404, "not_found");
}

async fn create_in_a_missing_repository_returns_404_after_the_body_is_checked(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let list = "/api/v1/repository/ada/nothing/build/";
    let response = fixture
        .writer
        .post(list, &json!({ "archive_url": SOURCE_URL }))
        .await;
    response.fails_with_detail(404, "not_found", "Not Found");
    // The body is checked before the repository is looked up.
    let response = fixture.writer.post(list, &json!({})).await;
    response.fails_with_problem(400, "invalid_request");
    let response = fixture
        .reader
        .post(list, &json!({ "archive_url": SOURCE_URL }))
        .await;
    response.fails_with_problem(403, "insufficient_scope");
}

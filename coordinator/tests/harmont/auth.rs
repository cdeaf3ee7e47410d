//! Tokens, organizations and roles.
//!
//! See `docs/protocols/harmont.md#authentication`.

use reqwest::Method;
use serde_json::json;
use slipway_farm::TokenRequest;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{
    ApiResponse, BUILDS, Fixture, ORGANIZATION, build_request, independent_steps, two_steps,
};

on_both_back_ends!(
    missing_invalid_expired_and_revoked_tokens_return_401,
    personal_token_is_accepted_with_any_spelling_of_bearer,
    organizations_and_pipelines_of_others_return_404,
    member_creates_and_cancels_builds,
    token_and_path_are_checked_before_the_body,
    token_with_scope_read_cannot_create_or_cancel,
);

async fn missing_invalid_expired_and_revoked_tokens_return_401(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture
        .anonymous
        .get(BUILDS)
        .await
        .fails_with_code(401, "unauthorized", "unauthorized");
    for value in [
        "Token x",
        "Bearer",
        "Bearer ",
        "bearer unknown",
        "Basic eDp5",
    ] {
        let request = fixture.anonymous.request(Method::GET, BUILDS);
        let response = ApiResponse::to(request.header("Authorization", value)).await;
        response.fails_with_code(401, "unauthorized", "unauthorized");
    }
    let (admin, user) = (fixture.farm.admin().await, "ana".parse().unwrap());
    let request = TokenRequest {
        name: "short".to_owned(),
        scopes: "write".parse().unwrap(),
        expires_at: Some(fixture.farm.clock.now() + chrono::TimeDelta::seconds(5)),
    };
    let created = fixture.farm.farm().create_token_for(&admin, &user, request);
    let short = fixture.member.with_token(created.await.unwrap().1.expose());
    short.get(BUILDS).await.is(200);
    fixture.farm.advance(5);
    short
        .get(BUILDS)
        .await
        .fails_with_code(401, "unauthorized", "unauthorized");
    let logout = "/api/v0/auth/logout";
    fixture
        .member
        .send_empty(Method::POST, logout)
        .await
        .is(204);
    fixture
        .member
        .get(BUILDS)
        .await
        .fails_with_code(401, "unauthorized", "unauthorized");
    fixture
        .member
        .send_empty(Method::POST, logout)
        .await
        .fails_with_code(401, "unauthorized", "unauthorized");
}

async fn personal_token_is_accepted_with_any_spelling_of_bearer(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let body = json!({"description": "laptop"});
    let created = fixture.member.post("/api/v0/user/api-tokens", &body).await;
    let created = created.is(201).json();
    let token = created["token"].as_str().unwrap();
    assert!(token.starts_with("hm_"), "{created}");
    fixture.member.with_token(token).get(BUILDS).await.is(200);
    let request = fixture.anonymous.request(Method::GET, BUILDS);
    let response = ApiResponse::to(request.header("Authorization", format!("bearer {token}")));
    response.await.is(200);
}

async fn organizations_and_pipelines_of_others_return_404(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let foreign = fixture.outsider.get(BUILDS).await.fails_with_code(
        404,
        "not_found",
        "organization_not_found",
    );
    let path = BUILDS.replace("acme", "nowhere");
    let unknown = fixture.outsider.get(&path).await.fails_with_code(
        404,
        "not_found",
        "organization_not_found",
    );
    assert_eq!(foreign["message"], unknown["message"]);
    let path = BUILDS.replace("web", "nope");
    fixture
        .member
        .get(&path)
        .await
        .fails_with_code(404, "not_found", "pipeline_not_found");
    let body = json!({"name": "Olaf's"});
    let created = fixture.outsider.post("/api/v0/organizations", &body).await;
    let slug = created.is(201).json()["slug"].as_str().unwrap().to_owned();
    let body = json!({"name": "other", "repository": "https://h/a/b", "default_branch": "main"});
    let path = format!("/api/v0/organizations/{slug}/pipelines");
    fixture.outsider.post(&path, &body).await.is(201);
    let path = BUILDS.replace("web", "other");
    fixture
        .member
        .get(&path)
        .await
        .fails_with_code(404, "not_found", "pipeline_not_found");
}

async fn member_creates_and_cancels_builds(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture
        .member
        .post(BUILDS, &build_request(&two_steps()))
        .await
        .is(201);
    let path = format!("{BUILDS}/1/cancel");
    fixture.member.send_empty(Method::PUT, &path).await.is(200);
}

async fn token_and_path_are_checked_before_the_body(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let response = fixture.anonymous.post_text(BUILDS, "{").await;
    response.fails_with_code(401, "unauthorized", "unauthorized");
    let response = fixture.member.post_text(BUILDS, "{").await;
    response.fails_with_code(400, "invalid_request", "invalid_json");
    let response = fixture
        .member
        .post_text(&BUILDS.replace("web", "nope"), "{")
        .await;
    response.fails_with_code(404, "not_found", "pipeline_not_found");
}

async fn token_with_scope_read_cannot_create_or_cancel(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture.create_build(&independent_steps(&["a"])).await;
    let (admin, name) = (fixture.farm.admin().await, "ana".parse().unwrap());
    let request = slipway_farm::TokenRequest {
        name: "read-only".to_owned(),
        scopes: "read".parse().unwrap(),
        expires_at: None,
    };
    let created = fixture.farm.farm().create_token_for(&admin, &name, request);
    let reader = fixture.member.with_token(created.await.unwrap().1.expose());
    reader.get(BUILDS).await.is(200);
    let response = reader
        .post(BUILDS, &build_request(&independent_steps(&["a"])))
        .await;
    response.fails_with_code(403, "forbidden", "forbidden");
    let response = reader
        .send_empty(Method::PUT, &format!("{BUILDS}/1/cancel"))
        .await;
    response.fails_with_code(403, "forbidden", "forbidden");
    let body = json!({"name": "x", "repository": "https://h/a/b", "default_branch": "main"});
    let response = reader
        .post(&format!("{ORGANIZATION}/pipelines"), &body)
        .await;
    response.fails_with_code(403, "forbidden", "forbidden");
}

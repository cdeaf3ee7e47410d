//! Tokens, and the rights of roles.
//!
//! See `docs/protocols/gitlab-builds-v3.md#authentication` and `#rights`.

use reqwest::{Method, RequestBuilder};
use slipway_domain::{AccessToken, TokenId};
use slipway_farm::{ProjectUpdate, UserUpdate};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::api_client::{ApiResponse, PROJECT, build_path, builds_path, send};
use crate::fixture::Fixture;

on_both_back_ends!(
    request_without_token_returns_401,
    private_token_header_authenticates,
    private_token_parameter_takes_precedence_over_the_header,
    bearer_token_and_access_token_parameter_authenticate,
    revoked_oauth_token_returns_401_with_a_challenge,
    unknown_token_returns_401_even_for_an_unknown_project,
    token_of_a_blocked_user_returns_401,
    runner_job_and_registration_tokens_do_not_authenticate,
    runners_token_of_a_project_does_not_authenticate,
    private_project_returns_404_to_non_members,
    guests_read_builds_only_if_these_are_public,
);

const UNAUTHORIZED: &str = "401 Unauthorized";

async fn request_without_token_returns_401(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    fixture
        .anonymous()
        .get(&builds_path())
        .await
        .fails_with(401, UNAUTHORIZED);
}

async fn private_token_header_authenticates(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.pending_build().await;
    let response = fixture.developer.get(&builds_path()).await.is(200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.ids(), [id.0]);
}

async fn private_token_parameter_takes_precedence_over_the_header(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    fixture.pending_build().await;
    let token = &fixture.developer.token;
    let expected = fixture.developer.get(&builds_path()).await.is(200).json();
    let path = format!("{PROJECT}/builds?private_token={token}");
    let request = |path: &str| fixture.anonymous().request_without_token(Method::GET, path);
    send(request(&path)).await.has_json(200, &expected);
    // The parameter takes precedence over the header.
    let wrong = request(&path).header("PRIVATE-TOKEN", "wrong");
    send(wrong).await.has_json(200, &expected);
    let path = format!("{PROJECT}/builds?private_token=wrong");
    let right = request(&path).header("PRIVATE-TOKEN", token);
    send(right).await.fails_with(401, UNAUTHORIZED);
}

async fn bearer_token_and_access_token_parameter_authenticate(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    fixture.pending_build().await;
    let token = &fixture.developer.token;
    let expected = fixture.developer.get(&builds_path()).await.is(200).json();
    let anonymous = fixture.anonymous();
    let bearer = anonymous
        .request_without_token(Method::GET, &builds_path())
        .bearer_auth(token);
    send(bearer).await.has_json(200, &expected);
    let path = format!("{PROJECT}/builds?access_token={token}");
    send(anonymous.request_without_token(Method::GET, &path))
        .await
        .has_json(200, &expected);
}

/// A token of `dora` that has been revoked.
async fn revoked_token(farm: &TestFarm) -> String {
    let token = farm.token_of("dora").await;
    let presented = AccessToken::presented(&token);
    let actor = farm.farm().authenticate(&presented);
    let id: TokenId = actor.await.unwrap().token();
    let root = farm.admin().await;
    farm.farm().revoke_token(&root, id).await.unwrap();
    token
}

async fn revoked_oauth_token_returns_401_with_a_challenge(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let token = revoked_token(&fixture.farm).await;
    let anonymous = fixture.anonymous();
    let assert_challenged = |request: RequestBuilder| async {
        let response: ApiResponse = send(request).await.is(401);
        let challenge = response.header("www-authenticate").unwrap().to_owned();
        assert!(challenge.starts_with("Bearer "), "{challenge}");
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        let body = response.json();
        assert_eq!(body["error"], "invalid_token");
        assert!(body["error_description"].is_string(), "{body}");
    };
    assert_challenged(
        anonymous
            .request_without_token(Method::GET, &builds_path())
            .bearer_auth(&token),
    )
    .await;
    let path = format!("{PROJECT}/builds?access_token={token}");
    assert_challenged(anonymous.request_without_token(Method::GET, &path)).await;
    // A private token, or a token that never existed, gets the plain 401.
    let response = fixture.client_with_token(&token).get(&builds_path()).await;
    let response = response.fails_with(401, UNAUTHORIZED);
    assert_eq!(response.header("www-authenticate"), None);
    let wrong = anonymous
        .request_without_token(Method::GET, &builds_path())
        .bearer_auth("wrong");
    send(wrong).await.fails_with(401, UNAUTHORIZED);
}

async fn unknown_token_returns_401_even_for_an_unknown_project(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let client = fixture.client_with_token("wrong");
    for path in [builds_path(), "/projects/99999/builds".to_owned()] {
        client.get(&path).await.fails_with(401, UNAUTHORIZED);
    }
}

async fn token_of_a_blocked_user_returns_401(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    fixture.developer.get(&builds_path()).await.is(200);
    let blocked = UserUpdate {
        active: Some(false),
        ..UserUpdate::default()
    };
    let (root, name) = (fixture.farm.admin().await, "dora".parse().unwrap());
    let farm = fixture.farm.farm();
    farm.update_user(&root, &name, blocked).await.unwrap();
    let response = fixture.developer.get(&builds_path()).await;
    response.fails_with(401, UNAUTHORIZED);
}

async fn runner_job_and_registration_tokens_do_not_authenticate(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let claim = fixture.running_build().await;
    let registration = fixture
        .farm
        .project_registration_token(&fixture.project)
        .await;
    for token in [&claim.runner.token, &claim.token, &registration] {
        let response = fixture.client_with_token(token).get(&builds_path()).await;
        response.fails_with(401, UNAUTHORIZED);
    }
}

async fn runners_token_of_a_project_does_not_authenticate(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let project = fixture.master.get("/projects/1").await.is(200).json();
    let token = project["runners_token"].as_str().unwrap();
    let response = fixture.client_with_token(token).get("/user").await;
    response.fails_with(401, "401 Unauthorized");
}

async fn private_project_returns_404_to_non_members(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.pending_build().await;
    for path in [builds_path(), build_path(id, ""), build_path(id, "/trace")] {
        let response = fixture.outsider.get(&path).await;
        response.fails_with(404, "404 Project Not Found");
    }
    let response = fixture.outsider.post(&build_path(id, "/cancel")).await;
    response.fails_with(404, "404 Project Not Found");
}

async fn guests_read_builds_only_if_these_are_public(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let claim = fixture.build_with_trace_and_archive().await;
    let paths = ["", "/trace", "/artifacts"].map(|below| build_path(claim.id, below));
    for path in paths.iter().chain([&builds_path()]) {
        let response = fixture.guest.get(path).await;
        response.fails_with(403, "403 Forbidden");
        fixture.reporter.get(path).await.is(200);
    }
    let public = ProjectUpdate {
        public_builds: Some(true),
        ..ProjectUpdate::default()
    };
    fixture.farm.change_project(&fixture.project, public).await;
    for path in &paths {
        fixture.guest.get(path).await.is(200);
    }
    let response = fixture.guest.post(&build_path(claim.id, "/retry")).await;
    response.fails_with(403, "403 Forbidden");
    // Nobody has rights to builds in a project without builds.
    let off = ProjectUpdate {
        builds_enabled: Some(false),
        ..ProjectUpdate::default()
    };
    fixture.farm.change_project(&fixture.project, off).await;
    for path in &paths {
        let response = fixture.master.get(path).await;
        response.fails_with(403, "403 Forbidden");
    }
}

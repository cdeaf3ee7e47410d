//! Passwords, and the sessions of users who sign in with them.
//!
//! See `docs/protocols/gitlab-builds-v3.md#sessions`.

use reqwest::Method;
use serde_json::json;
use slipway_domain::{AccessToken, Name};
use slipway_farm::{FarmError, UserUpdate};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::ApiClient;
use crate::fixture::Fixture;

on_both_back_ends!(
    session_returns_a_private_token,
    session_expires_after_thirty_days,
    new_password_revokes_sessions,
    password_change_requires_the_old_password,
    blocked_user_cannot_sign_in,
);

const PASSWORD: &str = "open sesame, please";

fn dora() -> Name {
    "dora".parse().unwrap()
}

/// A fixture whose user `dora` has a password.
async fn start(backend: Backend) -> Fixture {
    let fixture = Fixture::start(backend).await;
    let admin = fixture.farm.admin().await;
    let set = fixture
        .farm
        .farm()
        .set_password_of(&admin, &dora(), PASSWORD)
        .await;
    set.unwrap();
    fixture
}

async fn sign_in(fixture: &Fixture, password: &str) -> ApiClient {
    let body = json!({"login": "dora", "password": password});
    let response = fixture
        .anonymous()
        .json(Method::POST, "/session", &body)
        .await;
    let user = response.is(201).json();
    fixture.client_with_token(user["private_token"].as_str().unwrap())
}

async fn session_returns_a_private_token(backend: Backend) {
    let fixture = start(backend).await;
    let anonymous = fixture.anonymous();
    for login in ["login", "email"] {
        let body = json!({login: "Dora", "password": PASSWORD});
        let response = anonymous
            .json(Method::POST, "/session", &body)
            .await
            .is(201);
        let user = response.json();
        assert_eq!(user["username"], "dora");
        let session = fixture.client_with_token(user["private_token"].as_str().unwrap());
        assert_eq!(session.get("/user").await.is(200).json()["id"], user["id"]);
    }
    for body in [
        json!({"login": "dora", "password": "open sesame, now!"}),
        json!({"login": "unknown", "password": PASSWORD}),
        json!({"login": "rita", "password": PASSWORD}),
        json!({"login": "not a name", "password": PASSWORD}),
        json!({"login": "dora"}),
        json!({"password": PASSWORD}),
        json!({}),
    ] {
        let response = anonymous.json(Method::POST, "/session", &body).await;
        response.fails_with(401, "401 Unauthorized");
    }
}

async fn session_expires_after_thirty_days(backend: Backend) {
    let fixture = start(backend).await;
    let first = sign_in(&fixture, PASSWORD).await;
    fixture.farm.advance(30 * 86_400 - 60);
    first.get("/user").await.is(200);
    fixture.farm.advance(120);
    first.get("/user").await.is(401);
    let second = sign_in(&fixture, PASSWORD).await;
    second.get("/user").await.is(200);
    let token = AccessToken::presented(&fixture.developer.token);
    let actor = fixture.farm.farm().authenticate(&token).await.unwrap();
    let page = slipway_farm::Page {
        before: None,
        limit: 100,
    };
    let tokens = fixture.farm.farm().tokens(&actor, page).await.unwrap();
    let sessions = tokens.iter().filter(|token| token.name == "session");
    assert_eq!(sessions.count(), 1, "the expired session is deleted");
}

async fn new_password_revokes_sessions(backend: Backend) {
    let fixture = start(backend).await;
    let session = sign_in(&fixture, PASSWORD).await;
    let token = AccessToken::presented(&session.token);
    let actor = fixture.farm.farm().authenticate(&token).await.unwrap();
    let new = "quite another one";
    let changed = fixture
        .farm
        .farm()
        .change_password(&actor, Some(PASSWORD), new)
        .await;
    changed.unwrap();
    session.get("/user").await.is(401);
    fixture.developer.get("/user").await.is(200);
    let body = json!({"login": "dora", "password": PASSWORD});
    let response = fixture
        .anonymous()
        .json(Method::POST, "/session", &body)
        .await;
    response.is(401);
    sign_in(&fixture, new).await.get("/user").await.is(200);
}

async fn password_change_requires_the_old_password(backend: Backend) {
    let fixture = start(backend).await;
    let farm = fixture.farm.farm();
    let token = AccessToken::presented(&fixture.developer.token);
    let actor = farm.authenticate(&token).await.unwrap();
    for old in [None, Some("something else")] {
        let changed = farm.change_password(&actor, old, "quite another one");
        assert!(matches!(changed.await, Err(FarmError::Forbidden(_))));
    }
    let short = farm
        .change_password(&actor, Some(PASSWORD), "too short")
        .await;
    assert!(matches!(short, Err(FarmError::Invalid(_))));
    let other_user = farm
        .set_password_of(&actor, &dora(), "quite another one")
        .await;
    assert!(matches!(other_user, Err(FarmError::Forbidden(_))));
    let admin = fixture.farm.admin().await;
    let own = farm
        .set_password_of(&admin, admin.name(), "quite another one")
        .await;
    assert!(matches!(own, Err(FarmError::Forbidden(_))));
    let first = farm.change_password(&admin, None, "quite another one");
    first.await.unwrap();
    assert!(farm.has_password(&admin).await.unwrap());
}

async fn blocked_user_cannot_sign_in(backend: Backend) {
    let fixture = start(backend).await;
    let session = sign_in(&fixture, PASSWORD).await;
    let admin = fixture.farm.admin().await;
    let block = UserUpdate {
        active: Some(false),
        admin: None,
    };
    let blocked = fixture
        .farm
        .farm()
        .update_user(&admin, &dora(), block)
        .await;
    blocked.unwrap();
    session
        .get("/user")
        .await
        .fails_with(401, "401 Unauthorized");
    let body = json!({"login": "dora", "password": PASSWORD});
    let response = fixture
        .anonymous()
        .json(Method::POST, "/session", &body)
        .await;
    response.fails_with(401, "401 Unauthorized");
}

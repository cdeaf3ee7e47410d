//! The caller, personal tokens, and logins of command lines.
//!
//! See `docs/protocols/harmont.md#user-and-login`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{BUILDS, Fixture};

on_both_back_ends!(
    personal_tokens_are_created_listed_and_revoked,
    user_returns_the_caller,
    login_code_is_redeemed_once_within_five_minutes,
    nonce_is_claimed_once_within_a_minute,
);

const TOKENS: &str = "/api/v0/user/api-tokens";

async fn personal_tokens_are_created_listed_and_revoked(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let expires = "2200-01-01T00:00:00Z";
    let body = json!({"description": "laptop", "expires_at": expires});
    let created = fixture.member.post(TOKENS, &body).await.is(201).json();
    let shown = &created["api_token"];
    assert_eq!(shown["description"], "laptop");
    assert_eq!(shown["expires_at"], "2200-01-01T00:00:00.000000Z");
    let list = fixture.member.get(TOKENS).await.is(200).json();
    assert_eq!(&list["api_tokens"][0], shown);
    let token = fixture
        .member
        .with_token(created["token"].as_str().unwrap());
    token.get(BUILDS).await.is(200);
    let one = format!("{TOKENS}/{}", shown["id"].as_str().unwrap());
    let response = fixture.outsider.send_empty(Method::DELETE, &one).await;
    response.fails_with_code(404, "not_found", "api_token_not_found");
    fixture
        .member
        .send_empty(Method::DELETE, &one)
        .await
        .is(204);
    token
        .get(BUILDS)
        .await
        .fails_with_code(401, "unauthorized", "unauthorized");
    for path in [one, format!("{TOKENS}/x")] {
        let response = fixture.member.send_empty(Method::DELETE, &path).await;
        response.fails_with_code(404, "not_found", "api_token_not_found");
    }
    for body in [json!({}), json!({"description": "a", "expires_at": "soon"})] {
        let response = fixture.member.post(TOKENS, &body).await;
        response.fails_with_code(422, "validation_failed", "api_token_invalid");
    }
}

async fn user_returns_the_caller(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let user = fixture.member.get("/api/v0/user").await.is(200).json();
    assert_eq!(
        (&user["name"], &user["personal_org_slug"]),
        (&json!("ana"), &Value::Null)
    );
    assert_eq!(user["uuid"].as_str().unwrap().len(), 36);
    let other = fixture.outsider.get("/api/v0/user").await.is(200).json();
    assert_ne!(other["uuid"], user["uuid"]);
    fixture
        .member
        .post("/api/v0/organizations", &json!({"name": "ana"}))
        .await
        .is(201);
    let user = fixture.member.get("/api/v0/user").await.is(200).json();
    assert_eq!(user["personal_org_slug"], "ana");
}

async fn login_code_is_redeemed_once_within_five_minutes(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let (create, redeem) = ("/api/v0/auth/cli/code", "/api/v0/auth/cli/redeem");
    let code = async || {
        let code = fixture
            .member
            .send_empty(Method::POST, create)
            .await
            .is(200)
            .json();
        json!({ "code": code["code"] })
    };
    let first = code().await;
    let token = fixture.anonymous.post(redeem, &first).await.is(200).json();
    fixture
        .member
        .with_token(token["token"].as_str().unwrap())
        .get(BUILDS)
        .await
        .is(200);
    let late = code().await;
    fixture.farm.advance(300);
    for bad in [first, late, json!({"code": "x"}), json!({})] {
        let response = fixture.anonymous.post(redeem, &bad).await;
        response.fails_with_code(400, "invalid_request", "cli_code_invalid");
    }
    let response = fixture.anonymous.send_empty(Method::POST, create).await;
    response.fails_with_code(401, "unauthorized", "unauthorized");
}

async fn nonce_is_claimed_once_within_a_minute(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let (transfer, claim) = ("/api/v0/auth/cli/transfer", "/api/v0/auth/cli/claim");
    let nonce = json!({"nonce": "chosen by a command line"});
    let refused = async || {
        let response = fixture.anonymous.post(claim, &nonce).await;
        response.fails_with_code(400, "invalid_request", "cli_code_invalid");
    };
    refused().await;
    fixture.member.post(transfer, &nonce).await.is(204);
    let token = fixture.anonymous.post(claim, &nonce).await.is(200).json();
    fixture
        .member
        .with_token(token["token"].as_str().unwrap())
        .get(BUILDS)
        .await
        .is(200);
    refused().await;
    fixture.member.post(transfer, &nonce).await.is(204);
    fixture.farm.advance(60);
    refused().await;
}

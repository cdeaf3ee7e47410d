//! Tokens of people, and logins on their way to a command line.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::Backend;

use crate::support::{B, World};

slipway_testkit::on_both_back_ends!(
    tokens_are_made_listed_and_revoked,
    the_caller_is_told_who_it_is,
    a_code_is_redeemed_once_and_in_time,
    a_command_line_claims_the_login_that_was_left_for_it,
);

const TOKENS: &str = "/api/v0/user/api-tokens";

async fn tokens_are_made_listed_and_revoked(backend: Backend) {
    let world = World::start(backend).await;
    let expires = "2200-01-01T00:00:00Z";
    let body = json!({"description": "laptop", "expires_at": expires});
    let made = world.ana.post(TOKENS, &body).await.is(201).json();
    let shown = &made["api_token"];
    assert_eq!(shown["description"], "laptop");
    assert_eq!(shown["expires_at"], "2200-01-01T00:00:00.000000Z");
    let list = world.ana.get(TOKENS).await.is(200).json();
    assert_eq!(&list["api_tokens"][0], shown);
    let token = world.ana.with(made["token"].as_str().unwrap());
    token.get(B).await.is(200);
    let one = format!("{TOKENS}/{}", shown["id"].as_str().unwrap());
    let not_there = ("not_found", "api_token_not_found");
    let answer = world.olaf.empty(Method::DELETE, &one).await;
    answer.error(404, not_there.0, not_there.1);
    world.ana.empty(Method::DELETE, &one).await.is(204);
    token
        .get(B)
        .await
        .error(401, "unauthorized", "unauthorized");
    for path in [one, format!("{TOKENS}/x")] {
        let answer = world.ana.empty(Method::DELETE, &path).await;
        answer.error(404, not_there.0, not_there.1);
    }
    for body in [json!({}), json!({"description": "a", "expires_at": "soon"})] {
        let answer = world.ana.post(TOKENS, &body).await;
        answer.error(422, "validation_failed", "api_token_invalid");
    }
}

async fn the_caller_is_told_who_it_is(backend: Backend) {
    let world = World::start(backend).await;
    let user = world.ana.get("/api/v0/user").await.is(200).json();
    assert_eq!(
        (&user["name"], &user["personal_org_slug"]),
        (&json!("ana"), &Value::Null)
    );
    assert_eq!(user["uuid"].as_str().unwrap().len(), 36);
    let olaf = world.olaf.get("/api/v0/user").await.is(200).json();
    assert_ne!(olaf["uuid"], user["uuid"]);
    world
        .ana
        .post("/api/v0/organizations", &json!({"name": "ana"}))
        .await
        .is(201);
    let user = world.ana.get("/api/v0/user").await.is(200).json();
    assert_eq!(user["personal_org_slug"], "ana");
}

async fn a_code_is_redeemed_once_and_in_time(backend: Backend) {
    let world = World::start(backend).await;
    let (ask, redeem) = ("/api/v0/auth/cli/code", "/api/v0/auth/cli/redeem");
    let code = async || {
        let code = world.ana.empty(Method::POST, ask).await.is(200).json();
        json!({ "code": code["code"] })
    };
    let first = code().await;
    let token = world.nobody.post(redeem, &first).await.is(200).json();
    world
        .ana
        .with(token["token"].as_str().unwrap())
        .get(B)
        .await
        .is(200);
    let late = code().await;
    world.farm.advance(300);
    for bad in [first, late, json!({"code": "x"}), json!({})] {
        let answer = world.nobody.post(redeem, &bad).await;
        answer.error(400, "invalid_request", "cli_code_invalid");
    }
    let answer = world.nobody.empty(Method::POST, ask).await;
    answer.error(401, "unauthorized", "unauthorized");
}

async fn a_command_line_claims_the_login_that_was_left_for_it(backend: Backend) {
    let world = World::start(backend).await;
    let (leave, claim) = ("/api/v0/auth/cli/transfer", "/api/v0/auth/cli/claim");
    let nonce = json!({"nonce": "made up by a command line"});
    let refused = async || {
        let answer = world.nobody.post(claim, &nonce).await;
        answer.error(400, "invalid_request", "cli_code_invalid");
    };
    refused().await;
    world.ana.post(leave, &nonce).await.is(204);
    let token = world.nobody.post(claim, &nonce).await.is(200).json();
    world
        .ana
        .with(token["token"].as_str().unwrap())
        .get(B)
        .await
        .is(200);
    refused().await;
    world.ana.post(leave, &nonce).await.is(204);
    world.farm.advance(60);
    refused().await;
}

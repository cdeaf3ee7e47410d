//! Rotating tokens, and revoking everything of a person.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::Api;

/// Creates a token of root with a body, and returns its id and secret.
async fn create(api: &Api, body: Value) -> (i64, String) {
    let created = api.post(&api.root, "/v1/tokens", body).await.expect(201);
    parts(&created.json())
}

fn parts(created: &Value) -> (i64, String) {
    let token = created["token"].as_str().unwrap().to_owned();
    (created["id"].as_i64().unwrap(), token)
}

async fn rotate(api: &Api, with: &str, id: i64, body: Value) -> Value {
    let path = format!("/v1/tokens/{id}/rotate");
    api.post(with, &path, body).await.expect(201).json()
}

#[actix_web::test]
async fn rotated_token_works_until_the_overlap_ends() {
    let api = Api::start().await;
    let (id, old) = create(&api, json!({"name": "ci", "scopes": ["write"]})).await;
    let made = rotate(&api, &api.root, id, json!({"overlap_s": 60})).await;
    let (next, new) = parts(&made);
    assert_eq!(
        (&made["name"], &made["scopes"]),
        (&json!("ci"), &json!(["write"]))
    );
    assert!(api.works(&old).await && api.works(&new).await);
    api.clock.advance(TimeDelta::seconds(59));
    assert!(api.works(&old).await);
    api.clock.advance(TimeDelta::seconds(1));
    assert!(!api.works(&old).await && api.works(&new).await);
    // Without an overlap the old token ends at once.
    let (_, newest) = parts(&rotate(&api, &api.root, next, json!({"overlap_s": 0})).await);
    assert!(!api.works(&new).await && api.works(&newest).await);
    let path = format!("/v1/tokens/{next}/rotate");
    api.post(&api.root, &path, json!({})).await.expect(404);
}

#[actix_web::test]
async fn a_token_rotates_itself_but_does_not_outlive_itself() {
    let api = Api::start().await;
    let end = api.clock.now() + TimeDelta::hours(1);
    let body = json!({"name": "ci", "scopes": ["read"], "expires_at": end});
    let (id, old) = create(&api, body).await;
    let path = format!("/v1/tokens/{id}/rotate");
    let late = json!({"expires_at": end + TimeDelta::seconds(1)});
    api.post(&old, &path, late).await.expect(403);
    let (next, new) = parts(&rotate(&api, &old, id, json!({"overlap_s": 7200})).await);
    let other = format!("/v1/tokens/{next}/rotate");
    api.post(&old, &other, json!({})).await.expect(403);
    api.clock.advance(TimeDelta::minutes(59));
    assert!(api.works(&old).await && api.works(&new).await);
    api.clock.advance(TimeDelta::minutes(1));
    assert!(!api.works(&old).await && !api.works(&new).await);

    // An administrator's rotation starts the same time again.
    let body = json!({"name": "ci", "scopes": ["read"],
        "expires_at": api.clock.now() + TimeDelta::hours(1)});
    let (id, _) = create(&api, body).await;
    api.clock.advance(TimeDelta::minutes(30));
    let (_, new) = parts(&rotate(&api, &api.root, id, json!({})).await);
    api.clock.advance(TimeDelta::minutes(59));
    assert!(api.works(&new).await);
}

#[actix_web::test]
async fn invalid_rotations_are_refused() {
    let api = Api::start().await;
    let (id, _) = create(&api, json!({"name": "ci", "scopes": ["read"]})).await;
    let path = format!("/v1/tokens/{id}/rotate");
    for body in [
        json!({"overlap_s": 2_592_001}),
        json!({"overlap_s": -1}),
        json!({"expires_at": "2001-01-01T00:00:00Z"}),
        json!({"name": "other"}),
    ] {
        api.post(&api.root, &path, body).await.expect(400);
    }
    let ann = api.user("ann", &["admin"]).await;
    api.post(&ann, &path, json!({})).await.expect(404);
}

#[actix_web::test]
async fn one_call_revokes_everything_that_a_user_has() {
    let api = Api::start().await;
    api.project().await;
    let first = api.user("ann", &["admin"]).await;
    api.member("projects/acme/api", "ann", "maintainer").await;
    let second = api.token("ann", &["read"]).await;
    let password = json!({"new": "a password of a story"});
    api.put(&first, "/v1/user/password", password)
        .await
        .expect(204);
    let actor = slipway_domain::AccessToken::presented(&first);
    let actor = api.farm.authenticate(&actor).await.unwrap();
    let code = api.farm.create_login_code(&actor).await.unwrap();
    let path = "/v1/projects/acme/api/triggers";
    let trigger = json!({"description": "d"});
    api.post(&first, path, trigger).await.expect(201);

    api.delete(&second, "/v1/tokens").await.expect(403);
    assert!(api.works(&first).await);
    api.delete(&first, "/v1/tokens").await.expect(204);
    assert!(!api.works(&first).await && !api.works(&second).await);
    assert!(api.farm.redeem_login(&code).await.is_err());
    let triggers = api.get(&api.root, path).await.expect(200).json();
    assert_eq!(triggers["items"], json!([]));
    assert!(api.works(&api.root).await);

    let third = api.token("ann", &["admin"]).await;
    let user = api.get(&third, "/v1/user").await.expect(200).json();
    assert_eq!(user["has_password"], true);
    let of_ann = "/v1/users/ann/tokens";
    api.delete(&third, of_ann).await.expect(403);
    api.delete(&api.root, of_ann).await.expect(204);
    assert!(!api.works(&third).await);
    let fourth = api.token("ann", &["admin"]).await;
    let user = api.get(&fourth, "/v1/user").await.expect(200).json();
    assert_eq!(user["has_password"], false);
    api.delete(&api.root, "/v1/users/root/tokens")
        .await
        .expect(403);
    api.delete(&api.root, "/v1/users/nobody/tokens")
        .await
        .expect(404);
}

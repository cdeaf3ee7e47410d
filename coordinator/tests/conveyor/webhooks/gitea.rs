//! Events of Gitea and Forgejo.
//!
//! See `docs/protocols/conveyor.md#gitea-and-forgejo-events`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use super::signed;
use crate::fixture::{ApiResponse, Fixture, REPOSITORY, SHA};
use crate::scripted_runner::ScriptedRunner;

on_both_back_ends!(
    push_from_gitea_and_forgejo_creates_one_build,
    missing_or_wrong_signature_returns_403,
    deleted_branches_and_forks_are_not_built,
);

const SECRET: &str = "a-secret-for-gitea";

async fn start_farm(backend: Backend) -> Fixture {
    Fixture::with(backend, |config, files| {
        let secret = |name: &str, secret: &str| {
            let file = files.join(name);
            std::fs::write(&file, secret).unwrap();
            Some(file)
        };
        config.forges.gitlab_webhook_secret_file = secret("lab", "a-secret-for-gitlab");
        config.forges.gitea_webhook_secret_file = secret("tea", SECRET);
    })
    .await
}

/// A push event of Gitea.
fn push_event() -> Value {
    json!({
        "ref": "refs/heads/main",
        "before": "0".repeat(40),
        "after": SHA,
        "commits": [{"id": SHA, "message": "a change"}],
        "head_commit": {"id": SHA, "message": "a change"},
        "repository": {
            "id": 1, "full_name": REPOSITORY, "fork": false, "default_branch": "main"
        },
        "pusher": {"login": "ada"}
    })
}

async fn deliver(fixture: &Fixture, kind: &str, body: &Value, secret: &str) -> ApiResponse {
    let body = body.to_string();
    let request = fixture
        .request(Method::POST, "/hooks/gitea")
        .header(format!("X-{kind}-Event"), "push")
        .header(format!("X-{kind}-Delivery"), "one")
        .header(
            format!("X-{kind}-Signature"),
            signed(secret, body.as_bytes()),
        );
    Fixture::send(request.body(body)).await
}

async fn push_from_gitea_and_forgejo_creates_one_build(backend: Backend) {
    let fixture = start_farm(backend).await;
    let first = deliver(&fixture, "Gitea", &push_event(), SECRET)
        .await
        .is(200);
    fixture
        .get(&format!("/builds/{}", first.text()))
        .await
        .is(200);
    let runner = ScriptedRunner::register(&fixture.farm).await;
    runner.claim().await.succeed().await;
    let again = deliver(&fixture, "Forgejo", &push_event(), SECRET)
        .await
        .is(200);
    assert_eq!(again.text(), first.text());
    fixture.only_build().await;
}

async fn missing_or_wrong_signature_returns_403(backend: Backend) {
    let fixture = start_farm(backend).await;
    deliver(&fixture, "Gitea", &push_event(), "a-secret-for-gitlab")
        .await
        .fails_with_id(403, "forbidden");
    let request = fixture
        .request(Method::POST, "/hooks/gitea")
        .header("X-Gitea-Event", "push");
    Fixture::send(request.body(push_event().to_string()))
        .await
        .fails_with_id(403, "forbidden");
    assert!(fixture.builds(REPOSITORY).await.is_empty());
    let request = fixture.request(Method::POST, "/hooks/gitea").body("{}");
    Fixture::send(request)
        .await
        .fails_with_id(400, "bad_request");
}

async fn deleted_branches_and_forks_are_not_built(backend: Backend) {
    let fixture = start_farm(backend).await;
    let mut deleted = push_event();
    deleted["after"] = json!("0".repeat(40));
    let mut fork = push_event();
    fork["repository"]["fork"] = json!(true);
    for body in [deleted, fork] {
        let response = deliver(&fixture, "Gitea", &body, SECRET).await.is(200);
        assert!(response.text().contains("not built"), "{response:?}");
    }
    assert!(fixture.builds(REPOSITORY).await.is_empty());
}

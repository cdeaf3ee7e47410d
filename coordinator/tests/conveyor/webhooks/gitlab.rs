//! Events of GitLab.
//!
//! See `docs/protocols/conveyor.md#gitlab-events`.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{Fixture, REPOSITORY, SHA};
use crate::scripted_runner::ScriptedRunner;

on_both_back_ends!(
    push_and_tag_push_create_builds,
    missing_or_wrong_token_returns_403,
    deleted_branches_and_subgroups_are_not_built,
);

const SECRET: &str = "a-secret-for-gitlab";

async fn start_farm(backend: Backend) -> Fixture {
    Fixture::with(backend, |config, files| {
        let secret = |name: &str, secret: &str| {
            let file = files.join(name);
            std::fs::write(&file, secret).unwrap();
            Some(file)
        };
        config.forges.gitlab_webhook_secret_file = secret("gitlab-secret", SECRET);
        config.forges.gitea_webhook_secret_file = secret("tea", "a-secret-for-gitea");
    })
    .await
}

fn delivery(fixture: &Fixture, event: &str, body: &Value) -> RequestBuilder {
    fixture
        .request(Method::POST, "/hooks/gitlab")
        .header("X-Gitlab-Event", event)
        .header("X-Gitlab-Token", SECRET)
        .json(body)
}

/// A push event of GitLab.
fn push_event(git_ref: &str, message: &str) -> Value {
    json!({
        "object_kind": "push",
        "before": "0".repeat(40),
        "after": SHA,
        "ref": git_ref,
        "checkout_sha": SHA,
        "user_username": "ada",
        "project": {"id": 1, "path_with_namespace": REPOSITORY, "default_branch": "main"},
        "commits": [
            {"id": "f".repeat(40), "message": "[docker nocache] earlier"},
            {"id": SHA, "message": message}
        ],
        "total_commits_count": 2
    })
}

async fn push_and_tag_push_create_builds(backend: Backend) {
    let fixture = start_farm(backend).await;
    let send = async |body: &Value, event| {
        let request = delivery(&fixture, event, body).header("Idempotency-Key", "one");
        Fixture::send(request).await.is(200).text().to_owned()
    };
    let body = push_event("refs/heads/main", "a change");
    let first = send(&body, "Push Hook").await;
    fixture.get(&format!("/builds/{first}")).await.is(200);
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let claim = runner.claim().await;
    // Only the message of the pushed head counts, not those of earlier commits.
    assert!(!claim.spec().no_cache);
    claim.succeed().await;
    assert_eq!(send(&body, "Push Hook").await, first);
    let tag = push_event("refs/tags/v1", "[docker nocache]");
    let request = delivery(&fixture, "Tag Push Hook", &tag);
    Fixture::send(request).await.is(200);
    let claim = runner.claim().await;
    assert!(claim.job.build.ref_is_tag && claim.spec().no_cache);
    assert_eq!(fixture.builds(REPOSITORY).await.len(), 2);
    let response = Fixture::send(delivery(&fixture, "Issue Hook", &body))
        .await
        .is(200);
    assert!(response.text().contains("ignored"), "{response:?}");
}

async fn missing_or_wrong_token_returns_403(backend: Backend) {
    let fixture = start_farm(backend).await;
    let body = push_event("refs/heads/main", "x");
    let bare = || {
        let request = fixture.request(Method::POST, "/hooks/gitlab");
        request.header("X-Gitlab-Event", "Push Hook").json(&body)
    };
    for request in [
        bare(),
        bare().header("X-Gitlab-Token", ""),
        bare().header("X-Gitlab-Token", &SECRET[1..]),
        bare().header("X-Gitlab-Token", "a-secret-for-gitea"),
    ] {
        Fixture::send(request).await.fails_with_id(403, "forbidden");
    }
    let own = json!({"secret": "a-secret-of-the-project"});
    let path = format!("/v1/projects/{REPOSITORY}/webhook-secret");
    fixture.native_api(Method::PUT, &path, own).await;
    Fixture::send(bare().header("X-Gitlab-Token", SECRET))
        .await
        .fails_with_id(403, "forbidden");
    assert!(fixture.builds(REPOSITORY).await.is_empty());
    let request = bare().header("X-Gitlab-Token", "a-secret-of-the-project");
    Fixture::send(request).await.is(200);
}

async fn deleted_branches_and_subgroups_are_not_built(backend: Backend) {
    let fixture = start_farm(backend).await;
    let mut body = push_event("refs/heads/main", "x");
    body["after"] = json!("0".repeat(40));
    body["checkout_sha"] = Value::Null;
    let response = Fixture::send(delivery(&fixture, "Push Hook", &body))
        .await
        .is(200);
    assert!(response.text().contains("deleted"), "{response:?}");
    // A project in a subgroup has no name in this farm.
    let mut deep = push_event("refs/heads/main", "x");
    deep["project"]["path_with_namespace"] = json!("acme/group/api");
    let response = Fixture::send(delivery(&fixture, "Push Hook", &deep)).await;
    let response = response.is(200);
    assert!(response.text().contains("nothing is built"), "{response:?}");
    // GitLab sends the other events of such a project too.
    for event in ["Tag Push Hook", "Issue Hook", "System Hook"] {
        Fixture::send(delivery(&fixture, event, &deep))
            .await
            .is(200);
    }
    assert!(fixture.builds(REPOSITORY).await.is_empty());
}

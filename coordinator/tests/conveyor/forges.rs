//! The deliveries of GitLab, Gitea and Forgejo.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::client::{ApiResponse, REPOSITORY, SHA, Yard};
use crate::github::signed;
use crate::hands::Hands;

on_both_back_ends!(
    a_push_to_gitlab_is_built,
    gitlab_has_to_know_the_secret,
    what_gitlab_deletes_is_not_built,
    a_push_to_gitea_and_to_forgejo_is_built,
    gitea_has_to_sign,
    what_gitea_deletes_and_forks_are_not_built,
);

const LAB: &str = "a-secret-for-gitlab";
const TEA: &str = "a-secret-for-gitea";

async fn yard(backend: Backend) -> Yard {
    Yard::with(backend, |config, files| {
        let secret = |name: &str, secret: &str| {
            let file = files.join(name);
            std::fs::write(&file, secret).unwrap();
            Some(file)
        };
        config.forges.gitlab_webhook_secret_file = secret("lab", LAB);
        config.forges.gitea_webhook_secret_file = secret("tea", TEA);
    })
    .await
}

fn gitlab(yard: &Yard, event: &str, body: &Value) -> RequestBuilder {
    yard.request(Method::POST, "/hooks/gitlab")
        .header("X-Gitlab-Event", event)
        .header("X-Gitlab-Token", LAB)
        .json(body)
}

/// A push as GitLab tells it.
fn lab_push(git_ref: &str, message: &str) -> Value {
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

async fn a_push_to_gitlab_is_built(backend: Backend) {
    let yard = yard(backend).await;
    let send = async |body: &Value, event| {
        let request = gitlab(&yard, event, body).header("Idempotency-Key", "one");
        Yard::send(request).await.is(200).text().to_owned()
    };
    let body = lab_push("refs/heads/main", "a change");
    let first = send(&body, "Push Hook").await;
    yard.get(&format!("/builds/{first}")).await.is(200);
    let hands = Hands::of(&yard.farm).await;
    let work = hands.claim().await;
    // The message of the head alone counts.
    assert!(!work.spec().no_cache);
    work.succeed().await;
    assert_eq!(send(&body, "Push Hook").await, first);
    let tag = lab_push("refs/tags/v1", "[docker nocache]");
    let request = gitlab(&yard, "Tag Push Hook", &tag);
    Yard::send(request).await.is(200);
    let work = hands.claim().await;
    assert!(work.job.build.ref_is_tag && work.spec().no_cache);
    assert_eq!(yard.rows(REPOSITORY).await.len(), 2);
    let answer = Yard::send(gitlab(&yard, "Issue Hook", &body)).await.is(200);
    assert!(answer.text().contains("ignored"), "{answer:?}");
}

async fn gitlab_has_to_know_the_secret(backend: Backend) {
    let yard = yard(backend).await;
    let body = lab_push("refs/heads/main", "x");
    let bare = || {
        let request = yard.request(Method::POST, "/hooks/gitlab");
        request.header("X-Gitlab-Event", "Push Hook").json(&body)
    };
    for request in [
        bare(),
        bare().header("X-Gitlab-Token", ""),
        bare().header("X-Gitlab-Token", &LAB[1..]),
        bare().header("X-Gitlab-Token", TEA),
    ] {
        Yard::send(request).await.fails(403, "forbidden");
    }
    let own = json!({"secret": "a-secret-of-the-project"});
    let path = format!("/v1/projects/{REPOSITORY}/webhook-secret");
    yard.native(Method::PUT, &path, own).await;
    Yard::send(bare().header("X-Gitlab-Token", LAB))
        .await
        .fails(403, "forbidden");
    assert!(yard.rows(REPOSITORY).await.is_empty());
    let request = bare().header("X-Gitlab-Token", "a-secret-of-the-project");
    Yard::send(request).await.is(200);
}

async fn what_gitlab_deletes_is_not_built(backend: Backend) {
    let yard = yard(backend).await;
    let mut body = lab_push("refs/heads/main", "x");
    body["after"] = json!("0".repeat(40));
    body["checkout_sha"] = Value::Null;
    let answer = Yard::send(gitlab(&yard, "Push Hook", &body)).await.is(200);
    assert!(answer.text().contains("deleted"), "{answer:?}");
    // A project in a group of a group has no name here.
    let mut deep = lab_push("refs/heads/main", "x");
    deep["project"]["path_with_namespace"] = json!("acme/group/api");
    Yard::send(gitlab(&yard, "Push Hook", &deep))
        .await
        .fails(400, "bad_request");
    assert!(yard.rows(REPOSITORY).await.is_empty());
}

/// A push as Gitea tells it.
fn tea_push() -> Value {
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

async fn gitea(yard: &Yard, kind: &str, body: &Value, secret: &str) -> ApiResponse {
    let body = body.to_string();
    let request = yard
        .request(Method::POST, "/hooks/gitea")
        .header(format!("X-{kind}-Event"), "push")
        .header(format!("X-{kind}-Delivery"), "one")
        .header(
            format!("X-{kind}-Signature"),
            signed(secret, body.as_bytes()),
        );
    Yard::send(request.body(body)).await
}

async fn a_push_to_gitea_and_to_forgejo_is_built(backend: Backend) {
    let yard = yard(backend).await;
    let first = gitea(&yard, "Gitea", &tea_push(), TEA).await.is(200);
    yard.get(&format!("/builds/{}", first.text())).await.is(200);
    let hands = Hands::of(&yard.farm).await;
    hands.claim().await.succeed().await;
    let again = gitea(&yard, "Forgejo", &tea_push(), TEA).await.is(200);
    assert_eq!(again.text(), first.text());
    yard.only_row().await;
}

async fn gitea_has_to_sign(backend: Backend) {
    let yard = yard(backend).await;
    gitea(&yard, "Gitea", &tea_push(), LAB)
        .await
        .fails(403, "forbidden");
    let request = yard
        .request(Method::POST, "/hooks/gitea")
        .header("X-Gitea-Event", "push");
    Yard::send(request.body(tea_push().to_string()))
        .await
        .fails(403, "forbidden");
    assert!(yard.rows(REPOSITORY).await.is_empty());
    let request = yard.request(Method::POST, "/hooks/gitea").body("{}");
    Yard::send(request).await.fails(400, "bad_request");
}

async fn what_gitea_deletes_and_forks_are_not_built(backend: Backend) {
    let yard = yard(backend).await;
    let mut deleted = tea_push();
    deleted["after"] = json!("0".repeat(40));
    let mut fork = tea_push();
    fork["repository"]["fork"] = json!(true);
    for body in [deleted, fork] {
        let answer = gitea(&yard, "Gitea", &body, TEA).await.is(200);
        assert!(answer.text().contains("not built"), "{answer:?}");
    }
    assert!(yard.rows(REPOSITORY).await.is_empty());
}

//! Projects that the farm has not met.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::client::{ApiResponse, SHA, Yard};
use crate::github::{SECRET, push, signed};

on_both_back_ends!(
    without_a_policy_nothing_is_made,
    what_the_policy_allows_is_made_once,
    developers_of_the_namespace_may_and_others_may_not,
    a_push_has_a_project_made_with_its_default_branch,
);

/// A farm that makes projects below `acme`, and `other/docker-*`.
async fn yard(backend: Backend) -> Yard {
    Yard::with(backend, |config, files| {
        let file = files.join("secret");
        std::fs::write(&file, SECRET).unwrap();
        config.forges.github_webhook_secret_file = Some(file);
        config.forges.auto_create = ["acme/*", "other/docker-*"]
            .map(|p| p.parse().unwrap())
            .into();
        config.forges.auto_create_url = "https://git.example/{repository}.git".to_owned();
    })
    .await
}

fn body(repository: &str) -> Value {
    json!({"repository": repository, "branch": "main", "sha": SHA})
}

async fn without_a_policy_nothing_is_made(backend: Backend) {
    let yard = Yard::new(backend).await;
    yard.ask(body("acme/new")).await.not_found();
    yard.ask(body("new/new")).await.not_found();
}

async fn what_the_policy_allows_is_made_once(backend: Backend) {
    let yard = yard(backend).await;
    let answers = join_all((0..5).map(|_| yard.ask(body("other/docker-Base")))).await;
    let count = |status| {
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    assert_eq!((count(201), count(409)), (1, 4), "{answers:?}");
    let path = "/v1/projects/other/docker-base";
    let project = yard.native(Method::GET, path, Value::Null).await;
    assert_eq!(
        project["repo_url"],
        "https://git.example/other/docker-Base.git"
    );
    assert_eq!(project["name"], "docker-Base");
    yard.ask(body("other/base")).await.not_found();
}

async fn developers_of_the_namespace_may_and_others_may_not(backend: Backend) {
    let yard = yard(backend).await;
    let member = async |name: &str, role: &str, scope: &str| {
        let token = yard.user(name, scope, None).await;
        let path = format!("/v1/namespaces/acme/members/{name}");
        yard.native(Method::PUT, &path, json!({"role": role})).await;
        token
    };
    let ask = async |token: &str, repository: &str| -> ApiResponse {
        let request = yard.request(Method::POST, "/builds").bearer_auth(token);
        Yard::send(request.body(body(repository).to_string())).await
    };
    let stranger = yard.user("eve", "admin", None).await;
    let reader = member("bob", "reader", "write").await;
    let looking = member("lou", "owner", "read").await;
    let developer = member("ada", "developer", "write").await;
    for token in [&stranger, &reader, &looking] {
        ask(token, "acme/new").await.not_found();
    }
    ask(&developer, "acme/new").await.is(201);
    // Not even a developer of another namespace makes a namespace.
    ask(&developer, "other/docker-x").await.not_found();
    // What is there and not theirs stays unseen.
    ask(&stranger, "acme/new").await.not_found();
}

async fn a_push_has_a_project_made_with_its_default_branch(backend: Backend) {
    let yard = yard(backend).await;
    let deliver = async |repository: &str| {
        let mut event = push("refs/heads/trunk", SHA, "x");
        event["repository"]["full_name"] = json!(repository);
        event["repository"]["default_branch"] = json!("trunk");
        let event = event.to_string();
        let mark = format!("sha256={}", signed(SECRET, event.as_bytes()));
        let request = yard
            .request(Method::POST, "/")
            .header("X-GitHub-Event", "push");
        Yard::send(request.header("X-Hub-Signature-256", mark).body(event)).await
    };
    deliver("other/docker-new").await.is(200);
    let path = "/v1/projects/other/docker-new";
    let project = yard.native(Method::GET, path, Value::Null).await;
    assert_eq!(project["default_branch"], "trunk");
    deliver("other/new").await.not_found();
}

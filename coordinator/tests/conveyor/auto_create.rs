//! Creation of a project with its first build.
//!
//! See `docs/protocols/conveyor.md#projects-that-do-not-exist`.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{ApiResponse, Fixture, SHA};
use crate::webhooks::{SECRET, push, signed};

on_both_back_ends!(
    unknown_repository_returns_404_without_a_policy,
    simultaneous_first_builds_create_one_project,
    only_developers_of_the_namespace_create_projects,
    push_creates_a_project_with_its_default_branch,
);

/// A farm that creates projects in `acme`, and those whose path matches `other/docker-*`.
async fn start_farm(backend: Backend) -> Fixture {
    Fixture::with(backend, |config, files| {
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

async fn unknown_repository_returns_404_without_a_policy(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture
        .create(body("acme/new"))
        .await
        .fails_with_not_found();
    fixture.create(body("new/new")).await.fails_with_not_found();
}

async fn simultaneous_first_builds_create_one_project(backend: Backend) {
    let fixture = start_farm(backend).await;
    let responses = join_all((0..5).map(|_| fixture.create(body("other/docker-Base")))).await;
    let count = |status| {
        responses
            .iter()
            .filter(|response| response.status == status)
            .count()
    };
    assert_eq!((count(201), count(409)), (1, 4), "{responses:?}");
    let path = "/v1/projects/other/docker-base";
    let project = fixture.native_api(Method::GET, path, Value::Null).await;
    assert_eq!(
        project["repo_url"],
        "https://git.example/other/docker-Base.git"
    );
    assert_eq!(project["name"], "docker-Base");
    fixture
        .create(body("other/base"))
        .await
        .fails_with_not_found();
}

async fn only_developers_of_the_namespace_create_projects(backend: Backend) {
    let fixture = start_farm(backend).await;
    let member = async |name: &str, role: &str, scope: &str| {
        let token = fixture.create_user(name, scope, None).await;
        let path = format!("/v1/namespaces/acme/members/{name}");
        fixture
            .native_api(Method::PUT, &path, json!({"role": role}))
            .await;
        token
    };
    let create = async |token: &str, repository: &str| -> ApiResponse {
        let request = fixture.request(Method::POST, "/builds").bearer_auth(token);
        Fixture::send(request.body(body(repository).to_string())).await
    };
    let outsider = fixture.create_user("eve", "admin", None).await;
    let reader = member("bob", "reader", "write").await;
    let read_only = member("lou", "owner", "read").await;
    let developer = member("ada", "developer", "write").await;
    for token in [&outsider, &reader, &read_only] {
        create(token, "acme/new").await.fails_with_not_found();
    }
    create(&developer, "acme/new").await.is(201);
    // A developer of one namespace cannot create a project in another.
    create(&developer, "other/docker-x")
        .await
        .fails_with_not_found();
    // An existing project stays invisible to users without access.
    create(&outsider, "acme/new").await.fails_with_not_found();
}

async fn push_creates_a_project_with_its_default_branch(backend: Backend) {
    let fixture = start_farm(backend).await;
    let deliver = async |repository: &str| {
        let mut event = push("refs/heads/trunk", SHA, "x");
        event["repository"]["full_name"] = json!(repository);
        event["repository"]["default_branch"] = json!("trunk");
        let event = event.to_string();
        let signature = format!("sha256={}", signed(SECRET, event.as_bytes()));
        let request = fixture
            .request(Method::POST, "/")
            .header("X-GitHub-Event", "push");
        Fixture::send(request.header("X-Hub-Signature-256", signature).body(event)).await
    };
    deliver("other/docker-new").await.is(200);
    let path = "/v1/projects/other/docker-new";
    let project = fixture.native_api(Method::GET, path, Value::Null).await;
    assert_eq!(project["default_branch"], "trunk");
    let response = deliver("other/new").await.is(200);
    assert!(
        response.text().contains("no project other/new"),
        "{response:?}"
    );
    // Images of this name could not be pushed.
    let response = deliver("acme/a.-b").await.is(200);
    assert!(response.text().contains("nothing is built"), "{response:?}");
    fixture
        .create(body("acme/a.-b"))
        .await
        .fails_with_id(422, "invalid");
}

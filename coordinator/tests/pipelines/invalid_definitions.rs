//! Invalid definitions, and repositories that cannot be read.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_api_quay::QuayPhase;
use slipway_domain::{BuildState, TriggerToken};
use slipway_farm::{BuildVariables, FarmError, ProjectUpdate};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::from_repository::{HOOK_SECRET, RepositoryFarm};

on_both_back_ends!(
    invalid_file_is_an_error_of_the_build_request,
    unreadable_repository_is_an_error_of_the_build_request,
    push_with_an_invalid_file_creates_a_failed_build,
    push_to_an_unreadable_repository_creates_a_failed_build,
    trigger_with_an_invalid_file_creates_a_failed_build,
);

const WRONG: &str = "jobs:\n  base: {image: {}}\n  app:\n    needs: [bass]\n    script: [x]\n";
const SENTENCE: &str = ".slipway.yml, line 4, column 13: job \"app\" needs job \"bass\", which is not defined in this file; did you mean \"base\"?";

/// Sends a push webhook as GitLab does; returns the build.
async fn push(fixture: &RepositoryFarm, sha: &str) -> String {
    let body = json!({
        "object_kind": "push",
        "before": "0".repeat(40),
        "after": sha,
        "checkout_sha": sha,
        "ref": "refs/heads/main",
        "project": {"id": 1, "path_with_namespace": "acme/api", "default_branch": "main"},
        "commits": [],
        "total_commits_count": 1
    });
    let request = fixture.farm.http.post(fixture.farm.url("/hooks/gitlab"));
    let request = request
        .header("X-Gitlab-Event", "Push Hook")
        .header("X-Gitlab-Token", HOOK_SECRET);
    let answer = request.json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

async fn shown(fixture: &RepositoryFarm, build: &str) -> Value {
    let path = format!("/v1/builds/{build}");
    let (status, shown) = fixture.call(Method::GET, &path, Value::Null).await;
    assert_eq!(status, 200, "{shown}");
    shown
}

async fn invalid_file_is_an_error_of_the_build_request(backend: Backend) {
    let fixture = RepositoryFarm::start(backend).await;
    let sha = fixture.repo.commit(&[(".slipway.yml", WRONG)], "wrong");
    let path = "/v1/projects/acme/api/builds";
    let (status, answer) = fixture
        .call(Method::POST, path, json!({ "sha": sha }))
        .await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(answer["error"]["message"], SENTENCE);
    let large = format!("# {}\n", "x".repeat(300_000));
    let sha = fixture.repo.commit(&[(".slipway.yml", &large)], "large");
    let why = fixture.build(&sha).await.unwrap_err().to_string();
    assert!(
        why.starts_with(".slipway.yml, line 1, column 1: the file has 3"),
        "{why}"
    );
    // What only the registry would refuse is the file's matter too.
    let odd = "jobs: {_x: {image: {}}, y: {image: {}}}";
    let sha = fixture.repo.commit(&[(".slipway.yml", odd)], "odd");
    assert!(
        fixture.build(&sha).await.is_ok(),
        "the farm has no registry"
    );
    let link = fixture.repo.work_tree().join(".slipway.yml");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("Dockerfile", &link).unwrap();
    let sha = fixture.repo.commit(&[], "a link");
    let why = fixture.build(&sha).await.unwrap_err().to_string();
    assert!(why.ends_with("not a regular file"), "{why}");
    assert_eq!(fixture.count().await, 1);
}

async fn unreadable_repository_is_an_error_of_the_build_request(backend: Backend) {
    let fixture = RepositoryFarm::start(backend).await;
    let sha = fixture.repo.commit(&[("x", "y")], "x");
    let missing = fixture.build(&"1".repeat(40)).await.unwrap_err();
    assert!(
        matches!(&missing, FarmError::Invalid(why) if why.contains("no commit 111")),
        "{missing}"
    );
    let change = ProjectUpdate {
        repo_url: Some(format!("{}/gone.git", fixture.server.url())),
        ..ProjectUpdate::default()
    };
    fixture.farm.change_project(&fixture.project, change).await;
    let gone = fixture.build(&sha).await.unwrap_err();
    assert!(
        matches!(&gone, FarmError::Invalid(why) if why.contains("could not read the repository")),
        "{gone}"
    );
    assert_eq!(fixture.count().await, 0);
}

async fn push_with_an_invalid_file_creates_a_failed_build(backend: Backend) {
    let fixture = RepositoryFarm::start(backend).await;
    let sha = fixture.repo.commit(&[(".slipway.yml", WRONG)], "wrong");
    let build = shown(&fixture, &push(&fixture, &sha).await).await;
    assert_eq!(build["state"], "failed");
    assert_eq!(build["number"], 1);
    assert_eq!(
        build["error"],
        json!({"code": "bad_definition", "message": SENTENCE})
    );
    assert_eq!(build["jobs"], json!([]));
    assert!(build["finished_at"].is_string(), "{build}");
    // Other dialects return the same error.
    let (_, listed) = fixture
        .call(
            Method::GET,
            "/api/v1/repository/acme/api/build/",
            Value::Null,
        )
        .await;
    assert_eq!(listed["builds"][0]["phase"], "error", "{listed}");
    // The next commit is built normally.
    let right = "jobs: {a: {script: [x]}}";
    let sha = fixture.repo.commit(&[(".slipway.yml", right)], "right");
    let build = shown(&fixture, &push(&fixture, &sha).await).await;
    assert_eq!(
        (&build["state"], &build["number"]),
        (&json!("pending"), &json!(2))
    );
    assert_eq!(build["error"], Value::Null);
}

async fn push_to_an_unreadable_repository_creates_a_failed_build(backend: Backend) {
    let fixture = RepositoryFarm::start(backend).await;
    fixture.repo.commit(&[("x", "y")], "x");
    let build = shown(&fixture, &push(&fixture, &"1".repeat(40)).await).await;
    assert_eq!(build["state"], "failed");
    assert_eq!(build["error"]["code"], "source_unavailable");
    let why = build["error"]["message"].as_str().unwrap();
    assert!(why.contains("no commit 111"), "{why}");
    // A build without jobs cannot be retried.
    let path = format!("/v1/builds/{}/retry", build["id"].as_str().unwrap());
    let (status, answer) = fixture.call(Method::POST, &path, Value::Null).await;
    assert_eq!(status, 409, "{answer}");
    let why = answer["error"]["message"].as_str().unwrap();
    assert!(why.contains("has no jobs"), "{why}");
}

async fn trigger_with_an_invalid_file_creates_a_failed_build(backend: Backend) {
    let fixture = RepositoryFarm::start(backend).await;
    fixture.repo.commit(&[(".slipway.yml", WRONG)], "wrong");
    let farm = fixture.farm.farm();
    let path = "/v1/projects/acme/api/triggers";
    let nightly = json!({ "description": "nightly" });
    let (status, made) = fixture.call(Method::POST, path, nightly).await;
    assert_eq!(status, 201, "{made}");
    let token = TriggerToken::presented(made["token"].as_str().unwrap());
    let key = slipway_farm::ProjectKey::Id(fixture.project.id());
    let triggering = farm.triggering(key, &token).await.unwrap();
    let main = "main".parse().unwrap();
    let build = farm
        .fire(triggering, main, BuildVariables::default())
        .await
        .unwrap();
    assert_eq!(build.state, BuildState::Failed);
    let jobs = farm.jobs_of(build.id).await.unwrap();
    let phase = QuayPhase::of(&build, &jobs, farm.now());
    assert_eq!(phase, QuayPhase::Error);
    let error = build.submission.error.unwrap();
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("bad_definition", SENTENCE)
    );
}

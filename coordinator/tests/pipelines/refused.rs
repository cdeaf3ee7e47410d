//! Files that are wrong, and repositories that cannot be read.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_api_quay::QuayPhase;
use slipway_domain::{BuildState, TriggerToken};
use slipway_farm::{BuildVariables, FarmError, ProjectUpdate};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::brought::{HOOK_SECRET, Reading};

on_both_back_ends!(
    a_wrong_file_is_told_to_whoever_asks,
    a_repository_that_cannot_be_read_is_told_to_whoever_asks,
    a_push_with_a_wrong_file_has_failed,
    a_push_to_a_repository_that_cannot_be_read_has_failed,
    a_trigger_with_a_wrong_file_has_failed,
);

const WRONG: &str = "jobs:\n  base: {image: {}}\n  app:\n    needs: [bass]\n    script: [x]\n";
const SENTENCE: &str = ".slipway.yml, line 4, column 13: job \"app\" needs job \"bass\", which is not defined in this file; did you mean \"base\"?";

/// Tells the farm of a push as GitLab does; returns the build.
async fn push(reading: &Reading, sha: &str) -> String {
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
    let request = reading.farm.http.post(reading.farm.url("/hooks/gitlab"));
    let request = request
        .header("X-Gitlab-Event", "Push Hook")
        .header("X-Gitlab-Token", HOOK_SECRET);
    let answer = request.json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

async fn shown(reading: &Reading, build: &str) -> Value {
    let path = format!("/v1/builds/{build}");
    let (status, shown) = reading.call(Method::GET, &path, Value::Null).await;
    assert_eq!(status, 200, "{shown}");
    shown
}

async fn a_wrong_file_is_told_to_whoever_asks(backend: Backend) {
    let reading = Reading::start(backend).await;
    let sha = reading.repo.commit(&[(".slipway.yml", WRONG)], "wrong");
    let path = "/v1/projects/acme/api/builds";
    let (status, answer) = reading
        .call(Method::POST, path, json!({ "sha": sha }))
        .await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(answer["error"]["message"], SENTENCE);
    let large = format!("# {}\n", "x".repeat(300_000));
    let sha = reading.repo.commit(&[(".slipway.yml", &large)], "large");
    let why = reading.build(&sha).await.unwrap_err().to_string();
    assert!(
        why.starts_with(".slipway.yml, line 1, column 1: the file has 3"),
        "{why}"
    );
    // What only the registry would refuse is the file's matter too.
    let odd = "jobs: {_x: {image: {}}, y: {image: {}}}";
    let sha = reading.repo.commit(&[(".slipway.yml", odd)], "odd");
    assert!(
        reading.build(&sha).await.is_ok(),
        "there is no registry here"
    );
    let link = reading.repo.work_tree().join(".slipway.yml");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("Dockerfile", &link).unwrap();
    let sha = reading.repo.commit(&[], "a link");
    let why = reading.build(&sha).await.unwrap_err().to_string();
    assert!(why.ends_with("no regular file"), "{why}");
    assert_eq!(reading.count().await, 1);
}

async fn a_repository_that_cannot_be_read_is_told_to_whoever_asks(backend: Backend) {
    let reading = Reading::start(backend).await;
    let sha = reading.repo.commit(&[("x", "y")], "x");
    let missing = reading.build(&"1".repeat(40)).await.unwrap_err();
    assert!(
        matches!(&missing, FarmError::Invalid(why) if why.contains("no commit 111")),
        "{missing}"
    );
    let change = ProjectUpdate {
        repo_url: Some(format!("{}/gone.git", reading.server.url())),
        ..ProjectUpdate::default()
    };
    reading.farm.change_project(&reading.project, change).await;
    let gone = reading.build(&sha).await.unwrap_err();
    assert!(
        matches!(&gone, FarmError::Invalid(why) if why.contains("could not be read")),
        "{gone}"
    );
    assert_eq!(reading.count().await, 0);
}

async fn a_push_with_a_wrong_file_has_failed(backend: Backend) {
    let reading = Reading::start(backend).await;
    let sha = reading.repo.commit(&[(".slipway.yml", WRONG)], "wrong");
    let build = shown(&reading, &push(&reading, &sha).await).await;
    assert_eq!(build["state"], "failed");
    assert_eq!(build["number"], 1);
    assert_eq!(
        build["error"],
        json!({"code": "bad_definition", "message": SENTENCE})
    );
    assert_eq!(build["jobs"], json!([]));
    assert!(build["finished_at"].is_string(), "{build}");
    // Who asks in other words hears the same.
    let (_, listed) = reading
        .call(
            Method::GET,
            "/api/v1/repository/acme/api/build/",
            Value::Null,
        )
        .await;
    assert_eq!(listed["builds"][0]["phase"], "error", "{listed}");
    // The next commit is built as if nothing had been.
    let right = "jobs: {a: {script: [x]}}";
    let sha = reading.repo.commit(&[(".slipway.yml", right)], "right");
    let build = shown(&reading, &push(&reading, &sha).await).await;
    assert_eq!(
        (&build["state"], &build["number"]),
        (&json!("pending"), &json!(2))
    );
    assert_eq!(build["error"], Value::Null);
}

async fn a_push_to_a_repository_that_cannot_be_read_has_failed(backend: Backend) {
    let reading = Reading::start(backend).await;
    reading.repo.commit(&[("x", "y")], "x");
    let build = shown(&reading, &push(&reading, &"1".repeat(40)).await).await;
    assert_eq!(build["state"], "failed");
    assert_eq!(build["error"]["code"], "source_unavailable");
    let why = build["error"]["message"].as_str().unwrap();
    assert!(why.contains("no commit 111"), "{why}");
    // There is nothing to try again.
    let path = format!("/v1/builds/{}/retry", build["id"].as_str().unwrap());
    let (status, answer) = reading.call(Method::POST, &path, Value::Null).await;
    assert_eq!(status, 409, "{answer}");
    let why = answer["error"]["message"].as_str().unwrap();
    assert!(why.contains("has no jobs"), "{why}");
}

async fn a_trigger_with_a_wrong_file_has_failed(backend: Backend) {
    let reading = Reading::start(backend).await;
    reading.repo.commit(&[(".slipway.yml", WRONG)], "wrong");
    let farm = reading.farm.farm();
    let path = "/v1/projects/acme/api/triggers";
    let nightly = json!({ "description": "nightly" });
    let (status, made) = reading.call(Method::POST, path, nightly).await;
    assert_eq!(status, 201, "{made}");
    let token = TriggerToken::presented(made["token"].as_str().unwrap());
    let key = slipway_farm::ProjectKey::Id(reading.project.id());
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

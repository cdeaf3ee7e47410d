//! `POST /builds` with a commit.
//!
//! See `docs/protocols/conveyor.md#create-a-build`.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{Fixture, REPOSITORY, SHA, commit_on_main};
use crate::scripted_runner::ScriptedRunner;

on_both_back_ends!(
    create_returns_201_and_the_build_uses_the_cache_of_its_branch,
    second_request_for_an_unfinished_build_returns_409,
    twenty_simultaneous_requests_create_one_build,
    same_commit_in_another_repository_creates_another_build,
    finished_commit_can_be_built_again_and_the_newest_build_is_returned,
    create_without_branch_and_sha_returns_422,
    create_without_repository_returns_422,
    repository_that_is_not_a_string_returns_400,
    repository_without_an_owner_returns_400,
    repository_with_three_parts_returns_400,
    body_that_is_not_json_returns_400,
    empty_body_returns_400,
    commit_without_a_branch_is_built_without_a_cache_source,
    sha_in_capitals_is_stored_and_found_in_lower_case,
    invalid_sha_returns_400,
    retry_returns_409_while_another_build_of_the_commit_is_unfinished,
    repository_is_found_in_any_case_and_returned_as_first_written,
    body_over_the_limit_returns_413,
);

async fn create_returns_201_and_the_build_uses_the_cache_of_its_branch(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let response = fixture.create(commit_on_main(SHA)).await.is(201);
    assert_eq!(response.header("content-type"), Some("application/json"));
    let build = response.json();
    let keys: BTreeSet<&str> = build
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "id",
        "repository",
        "branch",
        "sha",
        "state",
        "created_at",
        "started_at",
        "completed_at",
    ];
    assert_eq!(keys, BTreeSet::from(expected));
    assert_eq!(build["repository"], REPOSITORY);
    assert_eq!(
        (&build["branch"], &build["sha"]),
        (&json!("main"), &json!(SHA))
    );
    assert_eq!(build["state"], "pending");
    assert_eq!(
        (&build["started_at"], &build["completed_at"]),
        (&Value::Null, &Value::Null)
    );
    assert!(build["created_at"].as_str().unwrap().ends_with('Z'));
    // The cache source is the image of the branch. The tag `latest` is for the default branch only.
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let claim = runner.claim().await;
    assert_eq!(claim.spec().tags, [SHA, "main", "latest"]);
    assert_eq!(claim.spec().cache_tag.as_deref(), Some("main"));
    let shown = fixture.read_build(&build).await;
    assert_eq!(shown["state"], "building");
    assert!(shown["started_at"].is_string());
}

async fn second_request_for_an_unfinished_build_returns_409(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture.create_build().await;
    fixture
        .create(commit_on_main(SHA))
        .await
        .fails_with_id(409, "duplicate_build");
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let _work = runner.claim().await;
    let response = fixture
        .create(commit_on_main(SHA))
        .await
        .fails_with_id(409, "duplicate_build");
    let message = response.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("already pending or building"), "{message}");
    fixture.only_build().await;
}

async fn twenty_simultaneous_requests_create_one_build(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let responses = join_all((0..20).map(|_| fixture.create(commit_on_main(SHA)))).await;
    let count = |status| {
        responses
            .iter()
            .filter(|response| response.status == status)
            .count()
    };
    assert_eq!((count(201), count(409)), (1, 19), "{responses:?}");
    fixture.only_build().await;
}

async fn same_commit_in_another_repository_creates_another_build(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture.farm.project("acme/web").await;
    fixture.create_build().await;
    let other = json!({"repository": "acme/web", "branch": "main", "sha": SHA});
    fixture.create(other).await.is(201);
}

async fn finished_commit_can_be_built_again_and_the_newest_build_is_returned(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let first = fixture.create_build().await;
    runner.claim().await.fail().await;
    let second = fixture.create_build().await;
    assert_ne!(first["id"], second["id"]);
    let newest = fixture
        .get(&format!("/builds/{REPOSITORY}@{SHA}"))
        .await
        .is(200);
    assert_eq!(newest.json()["id"], second["id"]);
    assert_eq!(fixture.read_build(&first).await["state"], "failed");
}

async fn create_without_branch_and_sha_returns_422(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let response = fixture.create(json!({"repository": REPOSITORY})).await;
    response.fails_with_id(422, "invalid");
}

async fn create_without_repository_returns_422(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let response = fixture.create(json!({"branch": "main", "sha": SHA})).await;
    response.fails_with_id(422, "invalid");
}

async fn repository_that_is_not_a_string_returns_400(backend: Backend) {
    assert_bad_request(backend, r#"{"repository": 5, "branch": "main"}"#).await;
}

async fn repository_without_an_owner_returns_400(backend: Backend) {
    assert_bad_request(backend, r#"{"repository": "justname", "branch": "main"}"#).await;
}

async fn repository_with_three_parts_returns_400(backend: Backend) {
    assert_bad_request(backend, r#"{"repository": "a/b/c", "branch": "main"}"#).await;
}

async fn body_that_is_not_json_returns_400(backend: Backend) {
    assert_bad_request(backend, "[").await;
}

async fn empty_body_returns_400(backend: Backend) {
    assert_bad_request(backend, "").await;
}

/// Asserts that a body is refused with 400 and creates no build.
async fn assert_bad_request(backend: Backend, body: &str) {
    let fixture = Fixture::new(backend).await;
    fixture
        .create_raw(body)
        .await
        .fails_with_id(400, "bad_request");
    assert!(fixture.builds(REPOSITORY).await.is_empty());
}

async fn commit_without_a_branch_is_built_without_a_cache_source(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let body = json!({"repository": REPOSITORY, "sha": SHA});
    let build = fixture.create(body).await.is(201).json();
    assert_eq!(build["branch"], "");
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let claim = runner.claim().await;
    assert_eq!(claim.spec().cache_tag, None);
    assert_eq!(claim.spec().tags, [SHA]);
}

async fn sha_in_capitals_is_stored_and_found_in_lower_case(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let capitals = SHA.to_uppercase();
    let build = fixture
        .create(commit_on_main(&capitals))
        .await
        .is(201)
        .json();
    assert_eq!(build["sha"], SHA);
    for sha in [&capitals, SHA, "0123456", "0123456789AB"] {
        let found = fixture
            .get(&format!("/builds/{REPOSITORY}@{sha}"))
            .await
            .is(200);
        assert_eq!(found.json()["id"], build["id"], "{sha}");
    }
    fixture
        .create(commit_on_main(SHA))
        .await
        .fails_with_id(409, "duplicate_build");
}

async fn invalid_sha_returns_400(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    for sha in ["zzz", "0123456", &format!("{SHA}0")] {
        fixture
            .create(commit_on_main(sha))
            .await
            .fails_with_id(400, "bad_request");
    }
}

async fn retry_returns_409_while_another_build_of_the_commit_is_unfinished(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let first = fixture.create_build().await;
    runner.claim().await.fail().await;
    fixture.create_build().await;
    let retry = format!("/v1/builds/{}/retry", first["id"].as_str().unwrap());
    let request = fixture.request_as_admin(reqwest::Method::POST, &retry);
    let response = Fixture::send(request).await.is(409);
    assert!(
        response.text().contains("already pending or building"),
        "{response:?}"
    );
    runner.claim().await.fail().await;
    Fixture::send(fixture.request_as_admin(reqwest::Method::POST, &retry))
        .await
        .is(200);
    fixture
        .create(commit_on_main(SHA))
        .await
        .fails_with_id(409, "duplicate_build");
}

async fn repository_is_found_in_any_case_and_returned_as_first_written(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let body = json!({"repository": "ACME/Api", "branch": "main", "sha": SHA});
    let build = fixture.create(body).await.is(201).json();
    assert_eq!(build["repository"], REPOSITORY);
    fixture
        .get(&format!("/builds/Acme/API@{SHA}"))
        .await
        .is(200);
}

async fn body_over_the_limit_returns_413(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let body = format!(r#"{{"repository": "{}"}}"#, "x".repeat(2 << 20));
    fixture
        .create_raw(&body)
        .await
        .fails_with_id(413, "too_large");
}

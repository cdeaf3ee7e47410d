//! Checks 1 to 12 and 16 to 18: asking for builds.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::client::{REPOSITORY, SHA, Yard, main};
use crate::hands::Hands;

on_both_back_ends!(
    check_01_a_build_of_a_commit_on_a_branch_is_made,
    check_02_a_second_request_for_an_unfinished_build_is_refused,
    check_03_of_twenty_at_once_one_is_made,
    check_04_the_same_commit_in_another_repository_is_another_build,
    check_05_after_its_end_there_may_be_a_new_one_which_then_answers,
    check_06_neither_branch_nor_sha_is_invalid,
    check_07_no_repository_is_invalid,
    check_08_a_repository_that_is_no_text_is_a_bad_request,
    check_09_a_repository_without_an_owner_is_a_bad_request,
    check_10_a_repository_of_three_parts_is_a_bad_request,
    check_11_a_body_that_is_no_json_is_a_bad_request,
    check_12_an_empty_body_is_a_bad_request,
    check_16_a_commit_without_a_branch_is_built_without_its_cache,
    check_17_a_sha_in_capitals_is_kept_and_found_in_lower_case,
    check_18_what_is_no_sha_is_a_bad_request,
    a_retry_does_not_bring_a_second_unfinished_build,
    a_repository_is_found_in_any_case_and_shown_as_first_written,
    a_long_body_is_refused,
);

async fn check_01_a_build_of_a_commit_on_a_branch_is_made(backend: Backend) {
    let yard = Yard::new(backend).await;
    let answer = yard.ask(main(SHA)).await.is(201);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let build = answer.json();
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
    // Layers come from the branch's image, and only `latest` tells the default branch.
    let hands = Hands::of(&yard.farm).await;
    let work = hands.claim().await;
    assert_eq!(work.spec().tags, [SHA, "main", "latest"]);
    assert_eq!(work.spec().cache_tag.as_deref(), Some("main"));
    let shown = yard.show(&build).await;
    assert_eq!(shown["state"], "building");
    assert!(shown["started_at"].is_string());
}

async fn check_02_a_second_request_for_an_unfinished_build_is_refused(backend: Backend) {
    let yard = Yard::new(backend).await;
    yard.build().await;
    yard.ask(main(SHA)).await.fails(409, "duplicate_build");
    let hands = Hands::of(&yard.farm).await;
    let _work = hands.claim().await;
    let answer = yard.ask(main(SHA)).await.fails(409, "duplicate_build");
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("already pending or building"), "{message}");
    yard.only_row().await;
}

async fn check_03_of_twenty_at_once_one_is_made(backend: Backend) {
    let yard = Yard::new(backend).await;
    let answers = join_all((0..20).map(|_| yard.ask(main(SHA)))).await;
    let count = |status| {
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    assert_eq!((count(201), count(409)), (1, 19), "{answers:?}");
    yard.only_row().await;
}

async fn check_04_the_same_commit_in_another_repository_is_another_build(backend: Backend) {
    let yard = Yard::new(backend).await;
    yard.farm.project("acme/web").await;
    yard.build().await;
    let other = json!({"repository": "acme/web", "branch": "main", "sha": SHA});
    yard.ask(other).await.is(201);
}

async fn check_05_after_its_end_there_may_be_a_new_one_which_then_answers(backend: Backend) {
    let yard = Yard::new(backend).await;
    let hands = Hands::of(&yard.farm).await;
    let first = yard.build().await;
    hands.claim().await.fail().await;
    let second = yard.build().await;
    assert_ne!(first["id"], second["id"]);
    let newest = yard
        .get(&format!("/builds/{REPOSITORY}@{SHA}"))
        .await
        .is(200);
    assert_eq!(newest.json()["id"], second["id"]);
    assert_eq!(yard.show(&first).await["state"], "failed");
}

async fn check_06_neither_branch_nor_sha_is_invalid(backend: Backend) {
    let yard = Yard::new(backend).await;
    let answer = yard.ask(json!({"repository": REPOSITORY})).await;
    answer.fails(422, "invalid");
}

async fn check_07_no_repository_is_invalid(backend: Backend) {
    let yard = Yard::new(backend).await;
    let answer = yard.ask(json!({"branch": "main", "sha": SHA})).await;
    answer.fails(422, "invalid");
}

async fn check_08_a_repository_that_is_no_text_is_a_bad_request(backend: Backend) {
    unreadable(backend, r#"{"repository": 5, "branch": "main"}"#).await;
}

async fn check_09_a_repository_without_an_owner_is_a_bad_request(backend: Backend) {
    unreadable(backend, r#"{"repository": "justname", "branch": "main"}"#).await;
}

async fn check_10_a_repository_of_three_parts_is_a_bad_request(backend: Backend) {
    unreadable(backend, r#"{"repository": "a/b/c", "branch": "main"}"#).await;
}

async fn check_11_a_body_that_is_no_json_is_a_bad_request(backend: Backend) {
    unreadable(backend, "[").await;
}

async fn check_12_an_empty_body_is_a_bad_request(backend: Backend) {
    unreadable(backend, "").await;
}

/// A body that is refused, and makes nothing.
async fn unreadable(backend: Backend, body: &str) {
    let yard = Yard::new(backend).await;
    yard.ask_raw(body).await.fails(400, "bad_request");
    assert!(yard.rows(REPOSITORY).await.is_empty());
}

async fn check_16_a_commit_without_a_branch_is_built_without_its_cache(backend: Backend) {
    let yard = Yard::new(backend).await;
    let body = json!({"repository": REPOSITORY, "sha": SHA});
    let build = yard.ask(body).await.is(201).json();
    assert_eq!(build["branch"], "");
    let hands = Hands::of(&yard.farm).await;
    let work = hands.claim().await;
    assert_eq!(work.spec().cache_tag, None);
    assert_eq!(work.spec().tags, [SHA]);
}

async fn check_17_a_sha_in_capitals_is_kept_and_found_in_lower_case(backend: Backend) {
    let yard = Yard::new(backend).await;
    let capitals = SHA.to_uppercase();
    let build = yard.ask(main(&capitals)).await.is(201).json();
    assert_eq!(build["sha"], SHA);
    for sha in [&capitals, SHA, "0123456", "0123456789AB"] {
        let found = yard
            .get(&format!("/builds/{REPOSITORY}@{sha}"))
            .await
            .is(200);
        assert_eq!(found.json()["id"], build["id"], "{sha}");
    }
    yard.ask(main(SHA)).await.fails(409, "duplicate_build");
}

async fn check_18_what_is_no_sha_is_a_bad_request(backend: Backend) {
    let yard = Yard::new(backend).await;
    for sha in ["zzz", "0123456", &format!("{SHA}0")] {
        yard.ask(main(sha)).await.fails(400, "bad_request");
    }
}

async fn a_retry_does_not_bring_a_second_unfinished_build(backend: Backend) {
    let yard = Yard::new(backend).await;
    let hands = Hands::of(&yard.farm).await;
    let first = yard.build().await;
    hands.claim().await.fail().await;
    yard.build().await;
    let retry = format!("/v1/builds/{}/retry", first["id"].as_str().unwrap());
    let request = yard.curl(reqwest::Method::POST, &retry);
    let answer = Yard::send(request).await.is(409);
    assert!(
        answer.text().contains("already pending or building"),
        "{answer:?}"
    );
    hands.claim().await.fail().await;
    Yard::send(yard.curl(reqwest::Method::POST, &retry))
        .await
        .is(200);
    yard.ask(main(SHA)).await.fails(409, "duplicate_build");
}

async fn a_repository_is_found_in_any_case_and_shown_as_first_written(backend: Backend) {
    let yard = Yard::new(backend).await;
    let body = json!({"repository": "ACME/Api", "branch": "main", "sha": SHA});
    let build = yard.ask(body).await.is(201).json();
    assert_eq!(build["repository"], REPOSITORY);
    yard.get(&format!("/builds/Acme/API@{SHA}")).await.is(200);
}

async fn a_long_body_is_refused(backend: Backend) {
    let yard = Yard::new(backend).await;
    let body = format!(r#"{{"repository": "{}"}}"#, "x".repeat(2 << 20));
    yard.ask_raw(&body).await.fails(413, "too_large");
}

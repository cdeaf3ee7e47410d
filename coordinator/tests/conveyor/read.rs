//! `GET /builds/…`: builds by id and by commit.
//!
//! See `docs/protocols/conveyor.md#read-a-build`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{Fixture, REPOSITORY, SHA, commit_on_main};

on_both_back_ends!(
    build_is_found_by_its_id,
    unknown_builds_and_artifacts_return_the_exact_not_found_error,
    malformed_identities_and_other_methods_return_404,
    commit_in_the_path_may_be_percent_encoded,
    repository_name_may_contain_dots_dashes_and_underscores,
    canceled_build_is_failed_with_completed_at,
    ambiguous_sha_prefix_returns_404,
    head_returns_the_same_as_get_without_a_body,
);

async fn build_is_found_by_its_id(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let build = fixture.create_build().await;
    assert_eq!(fixture.read_build(&build).await, build);
}

/// Well-formed identities that do not exist.
pub(crate) fn unknown_identities() -> [String; 3] {
    [
        "0190a6d0-0000-7000-8000-000000000001".to_owned(),
        format!("acme/gone@{SHA}"),
        format!("acme/api@{}", "f".repeat(40)),
    ]
}

async fn unknown_builds_and_artifacts_return_the_exact_not_found_error(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture.create_build().await;
    for name in unknown_identities() {
        fixture
            .get(&format!("/builds/{name}"))
            .await
            .fails_with_not_found();
        fixture
            .get(&format!("/artifacts/{name}"))
            .await
            .fails_with_not_found();
    }
}

async fn malformed_identities_and_other_methods_return_404(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture.create_build().await;
    for kind in ["builds", "artifacts", "logs"] {
        for name in ["notauuid", "acme", "acme/api", "acme/api@012345", "%ff"] {
            fixture
                .get(&format!("/{kind}/{name}"))
                .await
                .fails_with_not_found();
        }
    }
    Fixture::send(fixture.request_as_admin(Method::DELETE, "/builds"))
        .await
        .fails_with_not_found();
    Fixture::send(fixture.request_as_admin(Method::POST, "/"))
        .await
        .fails_with_not_found();
}

async fn commit_in_the_path_may_be_percent_encoded(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let build = fixture.create_build().await;
    for name in [
        format!("acme/api@{SHA}"),
        format!("acme/api%40{SHA}"),
        format!("acme%2Fapi%40{SHA}"),
        format!("acme%2fapi@{SHA}"),
    ] {
        let found = fixture.get(&format!("/builds/{name}")).await.is(200);
        assert_eq!(found.json(), build, "{name}");
    }
}

async fn repository_name_may_contain_dots_dashes_and_underscores(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture.farm.project("acme/my.app-x_y").await;
    let body = json!({"repository": "acme/my.app-x_y", "branch": "main", "sha": SHA});
    fixture.create(body).await.is(201);
    let path = format!("/builds/acme/my.app-x_y@{SHA}");
    fixture.get(&path).await.is(200);
}

async fn canceled_build_is_failed_with_completed_at(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let build = fixture.create_build().await;
    let cancel = format!("/v1/builds/{}/cancel", build["id"].as_str().unwrap());
    fixture.native_api(Method::POST, &cancel, Value::Null).await;
    let shown = fixture.read_build(&build).await;
    assert_eq!(shown["state"], "failed");
    assert!(shown["completed_at"].is_string(), "{shown}");
}

async fn ambiguous_sha_prefix_returns_404(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture.create_build().await;
    let twin = format!("01234567{}", "f".repeat(32));
    fixture.create(commit_on_main(&twin)).await.is(201);
    fixture
        .get(&format!("/builds/{REPOSITORY}@01234567"))
        .await
        .fails_with_not_found();
    fixture
        .get(&format!("/builds/{REPOSITORY}@01234567f"))
        .await
        .is(200);
}

async fn head_returns_the_same_as_get_without_a_body(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let build = fixture.create_build().await;
    let id = build["id"].as_str().unwrap();
    for path in [format!("/builds/{id}"), format!("/logs/{id}")] {
        let response = Fixture::send(fixture.request_as_admin(Method::HEAD, &path))
            .await
            .is(200);
        assert!(response.body.is_empty());
    }
    Fixture::send(fixture.request_as_admin(Method::HEAD, "/builds/x"))
        .await
        .is(404);
}

//! Single builds, and who sees which members.
//!
//! See `docs/protocols/quay.md#the-build-object`.

use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{BUILDS, PUBLIC_BUILDS, SOURCE_URL};
use crate::fixture::Fixture;

on_both_back_ends!(
    archive_url_is_visible_to_writers_only,
    trigger_metadata_is_null_for_non_members,
    status_returns_the_same_object,
    unknown_build_returns_404_and_its_status_and_logs_return_400,
    build_is_found_only_in_its_repository,
);

async fn archive_url_is_visible_to_writers_only(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let path = format!("{BUILDS}{}", fixture.create_build().await);
    let seen_by_reader = fixture.reader.get(&path).await.is(200).json();
    assert_eq!(seen_by_reader.get("archive_url"), None);
    assert_eq!(seen_by_reader["is_writer"], false);
    assert_eq!(seen_by_reader["trigger_metadata"], json!({}));
    let seen_by_writer = fixture.writer.get(&path).await.is(200).json();
    assert_eq!(seen_by_writer["archive_url"], SOURCE_URL);
    assert_eq!(seen_by_writer["is_writer"], true);
}

async fn trigger_metadata_is_null_for_non_members(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.create_build_in(PUBLIC_BUILDS).await;
    for client in [&fixture.anonymous, &fixture.bob] {
        let build = client
            .get(&format!("{PUBLIC_BUILDS}{id}"))
            .await
            .is(200)
            .json();
        assert_eq!(build["trigger_metadata"], Value::Null);
        assert_eq!(build.get("archive_url"), None);
        assert_eq!(build["is_writer"], false);
    }
}

async fn status_returns_the_same_object(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let path = format!("{BUILDS}{}", fixture.create_build().await);
    let build = fixture.reader.get(&path).await.is(200).json();
    let status = fixture
        .reader
        .get(&format!("{path}/status"))
        .await
        .is(200)
        .json();
    assert_eq!(build, status);
}

async fn unknown_build_returns_404_and_its_status_and_logs_return_400(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for id in ["nothing", "0190a6d0-0000-7000-8000-000000000001"] {
        let build = fixture.reader.get(&format!("{BUILDS}{id}")).await;
        build.fails_with_problem(404, "not_found");
        for suffix in ["status", "logs"] {
            let response = fixture.admin.get(&format!("{BUILDS}{id}/{suffix}")).await;
            let expected = json!({"message": format!("Unable to locate a build by id: {id}")});
            assert_eq!(response.is(400).json(), expected);
        }
    }
}

async fn build_is_found_only_in_its_repository(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.create_build().await;
    for suffix in ["", "/status", "/logs"] {
        let response = fixture
            .admin
            .get(&format!("{PUBLIC_BUILDS}{id}{suffix}"))
            .await;
        response.fails_with_problem(404, "not_found");
    }
    // The build of a repository that the caller may not see is treated as an unknown build.
    let body = json!({ "archive_url": SOURCE_URL });
    let builds_of_bob = "/api/v1/repository/bob/x/build/";
    let hidden = fixture.bob.post(builds_of_bob, &body).await.is(201).json();
    let hidden = hidden["id"].as_str().unwrap();
    let response = fixture.admin.get(&format!("{BUILDS}{hidden}")).await;
    response.fails_with_problem(404, "not_found");
}

//! Build limits of namespaces, and read-only projects.
//!
//! See `docs/protocols/quay.md#limits-and-read-only-states`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_farm::ProjectUpdate;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{ApiResponse, BUILDS, SOURCE_URL, send};
use crate::fixture::Fixture;

on_both_back_ends!(
    read_only_project_refuses_create_and_cancel,
    read_only_api_refuses_every_write,
    logs_of_a_read_only_project_are_readable,
    create_at_the_build_limit_returns_429,
    limit_of_zero_allows_no_build,
    limit_counts_only_builds_of_its_namespace,
);

async fn read_only_project_refuses_create_and_cancel(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.create_build().await;
    let set_read_only = async |on: bool| {
        let change = ProjectUpdate {
            read_only: Some(on),
            ..ProjectUpdate::default()
        };
        fixture.farm.change_project(&fixture.project, change).await;
    };
    set_read_only(true).await;
    let body = json!({ "archive_url": SOURCE_URL });
    assert!(
        fixture
            .writer
            .post(BUILDS, &body)
            .await
            .fails_with_message(503)
            .is_string()
    );
    // Rights are checked before the state of the project, and the body after it.
    let response = fixture.reader.post(BUILDS, &body).await;
    response.fails_with_problem(403, "insufficient_scope");
    fixture
        .writer
        .post(BUILDS, &json!({}))
        .await
        .fails_with_message(503);
    assert_eq!(fixture.reader.get(BUILDS).await.build_ids(), [id.as_str()]);
    fixture
        .admin
        .get(&format!("{BUILDS}{id}/logs"))
        .await
        .is(200);
    let response = fixture.admin.delete(&format!("{BUILDS}{id}")).await;
    assert!(response.fails_with_message(503).is_string());
    let response = fixture.writer.delete(&format!("{BUILDS}{id}")).await;
    response.fails_with_problem(403, "insufficient_scope");
    assert_eq!(fixture.phase(&id).await, "waiting");
    set_read_only(false).await;
    fixture.writer.post(BUILDS, &body).await.is(201);
}

async fn read_only_api_refuses_every_write(backend: Backend) {
    let fixture = Fixture::start_with(backend, |config| config.quay.read_only = true).await;
    let body = json!({ "archive_url": SOURCE_URL });
    let upload = json!({"mimeType": "text/plain"});
    for response in [
        fixture.writer.post(BUILDS, &body).await,
        fixture.reader.post(BUILDS, &body).await,
        fixture.anonymous.post(BUILDS, &json!({})).await,
        fixture.admin.delete(&format!("{BUILDS}some-build")).await,
        fixture.writer.post("/api/v1/filedrop/", &upload).await,
    ] {
        assert_eq!(response.json()["is_readonly"], true);
        assert!(response.fails_with_message(503).is_string());
    }
    assert!(fixture.reader.get(BUILDS).await.build_ids().is_empty());
    send(fixture.reader.request(Method::OPTIONS, BUILDS))
        .await
        .is(200);
}

async fn logs_of_a_read_only_project_are_readable(backend: Backend) {
    let fixture =
        Fixture::start_with(backend, |config| config.quay.reader_build_logs = false).await;
    let id = fixture.create_build().await;
    let change = ProjectUpdate {
        read_only: Some(true),
        ..ProjectUpdate::default()
    };
    fixture.farm.change_project(&fixture.project, change).await;
    fixture
        .writer
        .get(&format!("{BUILDS}{id}/logs"))
        .await
        .is(200);
    fixture
        .writer
        .get(&format!("/logarchive/{id}"))
        .await
        .is(200);
    let response = fixture.reader.get(&format!("{BUILDS}{id}/logs")).await;
    response.fails_with_problem(403, "insufficient_scope");
}

/// Limits the number of unfinished builds of the namespace `ada`.
async fn set_limit(fixture: &Fixture, limit: u32) {
    let change = json!({ "max_builds": limit });
    let request = fixture
        .anonymous
        .request_without_token(Method::PATCH, "/v1/namespaces/ada");
    let request = request.bearer_auth(&fixture.farm.admin_token).json(&change);
    let namespace = request.send().await.unwrap();
    assert_eq!(namespace.status(), 200);
    let namespace: Value = namespace.json().await.unwrap();
    assert_eq!(namespace["max_builds"], limit);
    let request = fixture.admin.request(Method::PATCH, "/v1/namespaces/ada");
    let refused = request.json(&change).send().await.unwrap();
    assert_eq!(refused.status(), 403);
}

async fn create_build(fixture: &Fixture) -> ApiResponse {
    fixture
        .writer
        .post(BUILDS, &json!({ "archive_url": SOURCE_URL }))
        .await
}

fn assert_too_many(response: ApiResponse) {
    let response = response.is(429);
    let expected = json!({"message": "Maximum queued build rate exceeded."});
    assert_eq!(response.json(), expected);
    assert_eq!(response.header("retry-after"), None);
}

async fn create_at_the_build_limit_returns_429(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.create_build().await;
    set_limit(&fixture, 1).await;
    assert_too_many(create_build(&fixture).await);
    fixture.admin.delete(&format!("{BUILDS}{id}")).await.is(204);
    create_build(&fixture).await.is(201);
}

async fn limit_of_zero_allows_no_build(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    set_limit(&fixture, 0).await;
    assert_too_many(create_build(&fixture).await);
}

async fn limit_counts_only_builds_of_its_namespace(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let other = fixture.farm.project("ada2/app").await;
    fixture.farm.build(&other).await;
    set_limit(&fixture, 1).await;
    create_build(&fixture).await.is(201);
    assert_too_many(create_build(&fixture).await);
}

//! Builds that are created.
//!
//! See `docs/protocols/quay.md#creating-builds`.

use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{BUILDS, SOURCE_URL};
use crate::fixture::Fixture;

on_both_back_ends!(
    build_of_a_url_has_every_member,
    location_header_points_to_the_status,
    started_is_an_rfc_2822_date,
    build_has_a_uuid_and_a_repository,
    docker_tags_sets_the_tags,
    tags_is_an_alias_of_docker_tags,
    docker_tags_takes_precedence_over_tags,
    invalid_characters_of_tags_are_replaced,
    tag_is_cut_to_127_characters,
    unknown_members_are_ignored,
    url_scheme_is_case_insensitive,
    subdirectory_contains_the_dockerfile,
    context_defaults_to_the_directory_of_the_dockerfile,
    dockerfile_path_takes_precedence_over_subdirectory,
    subdirectory_takes_precedence_over_context,
    context_contains_the_dockerfile_by_default,
    empty_pull_robot_is_ignored,
    build_names_its_pull_robot,
);

/// Creates a build of [`SOURCE_URL`] with further members in the request.
async fn create(fixture: &Fixture, more: Value) -> Value {
    let mut body = json!({ "archive_url": SOURCE_URL });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    fixture.writer.create(&body).await
}

/// Creates a build as [`create`] does and returns its tags.
async fn created_tags(backend: Backend, more: Value) -> Value {
    let fixture = Fixture::start(backend).await;
    create(&fixture, more).await["tags"].clone()
}

/// Asserts the paths of a build that [`create`] creates.
async fn assert_paths(fixture: &Fixture, more: Value, dockerfile: &str, context: &str) {
    let build = create(fixture, more).await;
    assert_eq!(build["dockerfile_path"], dockerfile, "{build}");
    assert_eq!(build["subdirectory"], dockerfile, "{build}");
    assert_eq!(build["context"], context, "{build}");
}

async fn build_of_a_url_has_every_member(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let mut build = fixture
        .writer
        .create(&json!({ "archive_url": SOURCE_URL }))
        .await;
    let fields = build.as_object_mut().unwrap();
    for member in ["id", "started"] {
        assert!(fields.remove(member).unwrap().is_string());
    }
    let expected = json!({
        "phase": "waiting",
        "display_name": "916b9d1",
        "status": {},
        "subdirectory": "/Dockerfile",
        "dockerfile_path": "/Dockerfile",
        "context": "/",
        "tags": ["latest"],
        "manual_user": "ada",
        "is_writer": true,
        "trigger": null,
        "trigger_metadata": {},
        "resource_key": null,
        "pull_robot": null,
        "repository": {"namespace": "ada", "name": "app"},
        "error": null,
        "archive_url": SOURCE_URL,
    });
    assert_eq!(build, expected);
}

async fn location_header_points_to_the_status(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let response = fixture
        .writer
        .post(BUILDS, &json!({ "archive_url": SOURCE_URL }))
        .await
        .is(201);
    let id = response.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/repository/ada/app/build/{id}/status");
    assert_eq!(response.header("location"), Some(path.as_str()));
}

async fn started_is_an_rfc_2822_date(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let build = create(&fixture, json!({})).await;
    let started = build["started"].as_str().unwrap();
    assert!(started.ends_with(" -0000"), "{started}");
    let parsed = chrono::DateTime::parse_from_rfc2822(started).unwrap();
    let again = parsed.format("%a, %d %b %Y %H:%M:%S -0000").to_string();
    assert_eq!(started, again);
}

async fn build_has_a_uuid_and_a_repository(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let build = create(&fixture, json!({})).await;
    let id = build["id"].as_str().unwrap();
    let parsed: slipway_domain::BuildUuid = id.parse().unwrap();
    assert_eq!(parsed.to_string(), id);
    let repository = json!({"namespace": "ada", "name": "app"});
    assert_eq!(build["repository"], repository);
}

async fn docker_tags_sets_the_tags(backend: Backend) {
    let tags = created_tags(backend, json!({"docker_tags": ["v1", "v2"]})).await;
    assert_eq!(tags, json!(["v1", "v2"]));
}

/// Quay itself ignores `tags` and pushes `latest`.
async fn tags_is_an_alias_of_docker_tags(backend: Backend) {
    let tags = created_tags(backend, json!({"tags": ["v1"]})).await;
    assert_eq!(tags, json!(["v1"]));
}

async fn docker_tags_takes_precedence_over_tags(backend: Backend) {
    let tags = created_tags(backend, json!({"docker_tags": ["a"], "tags": ["b"]})).await;
    assert_eq!(tags, json!(["a"]));
}

async fn invalid_characters_of_tags_are_replaced(backend: Backend) {
    let tags = created_tags(backend, json!({"docker_tags": ["a b", ".x", "", "v1/2"]})).await;
    assert_eq!(tags, json!(["a_b", "_x", "latest", "v1_2"]));
}

async fn tag_is_cut_to_127_characters(backend: Backend) {
    let tags = created_tags(backend, json!({"docker_tags": ["x".repeat(200)]})).await;
    assert_eq!(tags, json!(["x".repeat(127)]));
}

async fn unknown_members_are_ignored(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    create(&fixture, json!({"bogus": 1})).await;
}

async fn url_scheme_is_case_insensitive(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let build = fixture
        .writer
        .create(&json!({"archive_url": "HTTP://X/y"}))
        .await;
    assert_eq!(build["archive_url"], "HTTP://X/y");
}

async fn subdirectory_contains_the_dockerfile(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let members = json!({"subdirectory": "some"});
    assert_paths(&fixture, members, "some/Dockerfile", "some").await;
    let members = json!({"subdirectory": "some/"});
    assert_paths(&fixture, members, "some/Dockerfile", "some/").await;
}

async fn context_defaults_to_the_directory_of_the_dockerfile(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let members = json!({"dockerfile_path": "some/Dockerfile"});
    assert_paths(&fixture, members, "some/Dockerfile", "some").await;
    let members = json!({"dockerfile_path": "Dockerfile"});
    assert_paths(&fixture, members, "Dockerfile", "").await;
}

async fn dockerfile_path_takes_precedence_over_subdirectory(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let members = json!({
        "dockerfile_path": "some/Dockerfile", "context": "/", "subdirectory": "slime",
    });
    assert_paths(&fixture, members, "some/Dockerfile", "/").await;
}

async fn subdirectory_takes_precedence_over_context(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let members = json!({"subdirectory": "a", "context": "/z"});
    assert_paths(&fixture, members, "a/Dockerfile", "a").await;
}

async fn context_contains_the_dockerfile_by_default(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let members = json!({"context": "/some"});
    assert_paths(&fixture, members, "/some/Dockerfile", "/some").await;
}

async fn empty_pull_robot_is_ignored(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let build = create(&fixture, json!({"pull_robot": ""})).await;
    assert_eq!(build["pull_robot"], Value::Null);
}

async fn build_names_its_pull_robot(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let body = json!({"archive_url": SOURCE_URL, "pull_robot": "ada+puller"});
    let build = fixture.namespace_writer.create(&body).await;
    let robot = json!({"name": "ada+puller", "kind": "user", "is_robot": true});
    assert_eq!(build["pull_robot"], robot);
}

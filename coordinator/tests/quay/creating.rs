//! Checks 22 to 39: builds that are asked for and made.

use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::support::{L, URL, World};

on_both_back_ends!(
    check_22_a_build_of_a_url_is_told_whole,
    check_23_it_says_where_its_status_is,
    check_24_it_says_when_it_was_asked_for,
    check_25_it_has_an_id_and_a_repository,
    check_26_tags_are_asked_for,
    check_27_tags_have_another_name,
    check_28_the_older_name_wins,
    check_29_tags_are_made_to_fit,
    check_30_a_long_tag_is_cut,
    check_31_unknown_fields_are_ignored,
    check_32_a_scheme_may_be_in_capitals,
    check_33_a_subdirectory_has_the_dockerfile,
    check_34_a_dockerfile_has_a_directory,
    check_35_a_dockerfile_goes_before_a_subdirectory,
    check_36_a_subdirectory_goes_before_a_context,
    check_37_a_context_has_the_dockerfile,
    check_38_an_empty_robot_is_none,
    check_39_a_robot_is_named,
);

/// What was made with these fields besides the source.
async fn made(world: &World, more: Value) -> Value {
    let mut body = json!({ "archive_url": URL });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    world.w.makes(&body).await
}

/// The tags of what was made with these fields, and the two paths.
async fn tags(backend: Backend, more: Value) -> Value {
    let world = World::start(backend).await;
    made(&world, more).await["tags"].clone()
}

async fn places(world: &World, more: Value, dockerfile: &str, context: &str) {
    let build = made(world, more).await;
    assert_eq!(build["dockerfile_path"], dockerfile, "{build}");
    assert_eq!(build["subdirectory"], dockerfile, "{build}");
    assert_eq!(build["context"], context, "{build}");
}

async fn check_22_a_build_of_a_url_is_told_whole(backend: Backend) {
    let world = World::start(backend).await;
    let mut build = world.w.makes(&json!({ "archive_url": URL })).await;
    let fields = build.as_object_mut().unwrap();
    for own in ["id", "started"] {
        assert!(fields.remove(own).unwrap().is_string());
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
        "archive_url": URL,
    });
    assert_eq!(build, expected);
}

async fn check_23_it_says_where_its_status_is(backend: Backend) {
    let world = World::start(backend).await;
    let answer = world
        .w
        .post(L, &json!({ "archive_url": URL }))
        .await
        .is(201);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/repository/ada/app/build/{id}/status");
    assert_eq!(answer.header("location"), Some(path.as_str()));
}

async fn check_24_it_says_when_it_was_asked_for(backend: Backend) {
    let world = World::start(backend).await;
    let build = made(&world, json!({})).await;
    let started = build["started"].as_str().unwrap();
    assert!(started.ends_with(" -0000"), "{started}");
    let parsed = chrono::DateTime::parse_from_rfc2822(started).unwrap();
    let again = parsed.format("%a, %d %b %Y %H:%M:%S -0000").to_string();
    assert_eq!(started, again);
}

async fn check_25_it_has_an_id_and_a_repository(backend: Backend) {
    let world = World::start(backend).await;
    let build = made(&world, json!({})).await;
    let id = build["id"].as_str().unwrap();
    let parsed: slipway_domain::BuildUuid = id.parse().unwrap();
    assert_eq!(parsed.to_string(), id);
    let repository = json!({"namespace": "ada", "name": "app"});
    assert_eq!(build["repository"], repository);
}

async fn check_26_tags_are_asked_for(backend: Backend) {
    let tags = tags(backend, json!({"docker_tags": ["v1", "v2"]})).await;
    assert_eq!(tags, json!(["v1", "v2"]));
}

/// In the mode that is not offered it is `latest`.
async fn check_27_tags_have_another_name(backend: Backend) {
    let tags = tags(backend, json!({"tags": ["v1"]})).await;
    assert_eq!(tags, json!(["v1"]));
}

async fn check_28_the_older_name_wins(backend: Backend) {
    let tags = tags(backend, json!({"docker_tags": ["a"], "tags": ["b"]})).await;
    assert_eq!(tags, json!(["a"]));
}

async fn check_29_tags_are_made_to_fit(backend: Backend) {
    let tags = tags(backend, json!({"docker_tags": ["a b", ".x", "", "v1/2"]})).await;
    assert_eq!(tags, json!(["a_b", "_x", "latest", "v1_2"]));
}

async fn check_30_a_long_tag_is_cut(backend: Backend) {
    let tags = tags(backend, json!({"docker_tags": ["x".repeat(200)]})).await;
    assert_eq!(tags, json!(["x".repeat(127)]));
}

async fn check_31_unknown_fields_are_ignored(backend: Backend) {
    let world = World::start(backend).await;
    made(&world, json!({"bogus": 1})).await;
}

async fn check_32_a_scheme_may_be_in_capitals(backend: Backend) {
    let world = World::start(backend).await;
    let build = world.w.makes(&json!({"archive_url": "HTTP://X/y"})).await;
    assert_eq!(build["archive_url"], "HTTP://X/y");
}

async fn check_33_a_subdirectory_has_the_dockerfile(backend: Backend) {
    let world = World::start(backend).await;
    let some = json!({"subdirectory": "some"});
    places(&world, some, "some/Dockerfile", "some").await;
    let some = json!({"subdirectory": "some/"});
    places(&world, some, "some/Dockerfile", "some/").await;
}

async fn check_34_a_dockerfile_has_a_directory(backend: Backend) {
    let world = World::start(backend).await;
    let some = json!({"dockerfile_path": "some/Dockerfile"});
    places(&world, some, "some/Dockerfile", "some").await;
    let bare = json!({"dockerfile_path": "Dockerfile"});
    places(&world, bare, "Dockerfile", "").await;
}

async fn check_35_a_dockerfile_goes_before_a_subdirectory(backend: Backend) {
    let world = World::start(backend).await;
    let all = json!({
        "dockerfile_path": "some/Dockerfile", "context": "/", "subdirectory": "slime",
    });
    places(&world, all, "some/Dockerfile", "/").await;
}

async fn check_36_a_subdirectory_goes_before_a_context(backend: Backend) {
    let world = World::start(backend).await;
    let both = json!({"subdirectory": "a", "context": "/z"});
    places(&world, both, "a/Dockerfile", "a").await;
}

async fn check_37_a_context_has_the_dockerfile(backend: Backend) {
    let world = World::start(backend).await;
    let some = json!({"context": "/some"});
    places(&world, some, "/some/Dockerfile", "/some").await;
}

async fn check_38_an_empty_robot_is_none(backend: Backend) {
    let world = World::start(backend).await;
    let build = made(&world, json!({"pull_robot": ""})).await;
    assert_eq!(build["pull_robot"], Value::Null);
}

async fn check_39_a_robot_is_named(backend: Backend) {
    let world = World::start(backend).await;
    let body = json!({"archive_url": URL, "pull_robot": "ada+puller"});
    let build = world.wo.makes(&body).await;
    let robot = json!({"name": "ada+puller", "kind": "user", "is_robot": true});
    assert_eq!(build["pull_robot"], robot);
}

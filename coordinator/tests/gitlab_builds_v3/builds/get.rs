//! Single builds and their members.
//!
//! See `docs/protocols/gitlab-builds-v3.md#the-build-object`.

use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{PROJECT, build_path};
use crate::fixture::Fixture;

on_both_back_ends!(
    build_has_every_member,
    artifacts_file_is_null_without_artifacts,
    pending_build_has_no_times_and_no_runner,
    running_build_has_its_runner,
    build_of_another_project_returns_404,
    build_id_that_is_not_a_number_returns_400,
);

/// Asserts that a member is a time in UTC with milliseconds.
#[track_caller]
fn assert_is_time(build: &Value, member: &str) {
    let text = build[member].as_str().unwrap();
    assert_eq!((text.len(), &text[23..]), (24, "Z"), "{member}: {text}");
    assert!(text.parse::<chrono::DateTime<chrono::Utc>>().is_ok());
}

async fn build_has_every_member(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let claim = fixture.build_with_trace_and_archive().await;
    let build = fixture.developer.get(&build_path(claim.id, "")).await;
    let build = build.is(200).json();
    for member in ["created_at", "started_at", "finished_at"] {
        assert_is_time(&build, member);
    }
    assert_eq!(build["id"], claim.id.0);
    assert_eq!(build["status"], "success");
    assert_eq!(
        (&build["name"], &build["stage"]),
        (&json!("unit"), &json!("build"))
    );
    assert_eq!(
        (&build["ref"], &build["tag"]),
        (&json!("master"), &json!(false))
    );
    let file = json!({"filename": "artifacts.zip", "size": 6});
    assert_eq!(build["artifacts_file"], file);
    let user = &build["user"];
    assert_eq!(
        (&user["username"], &user["state"]),
        (&json!("root"), &json!("active"))
    );
    assert_eq!(user["is_admin"], true);
    for (member, value) in [("skype", json!("")), ("bio", Value::Null)] {
        assert_eq!(user[member], value, "{member}");
    }
    let pipeline = &build["pipeline"];
    assert!(pipeline["id"].is_i64());
    assert_eq!(pipeline["sha"], slipway_testkit::farm::SHA);
    assert_eq!(
        (&pipeline["ref"], &pipeline["status"]),
        (&json!("master"), &json!("success"))
    );
    // Members without a value are null and not left out.
    let members = build.as_object().unwrap();
    for member in ["coverage", "commit"] {
        assert_eq!(members.get(member), Some(&Value::Null), "{member}");
    }
    // Lists contain the same object.
    let list = fixture.developer.get(&format!("{PROJECT}/builds")).await;
    assert_eq!(list.items(), [build]);
}

async fn artifacts_file_is_null_without_artifacts(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let claim = fixture.finished_build("success").await;
    let build = fixture
        .developer
        .get(&build_path(claim.id, ""))
        .await
        .json();
    let file = build.as_object().unwrap().get("artifacts_file");
    assert_eq!(file, Some(&Value::Null));
}

async fn pending_build_has_no_times_and_no_runner(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.pending_build().await;
    let build = fixture.developer.get(&build_path(id, "")).await.json();
    assert_eq!(build["status"], "pending");
    let members = build.as_object().unwrap();
    for member in ["started_at", "finished_at", "runner"] {
        assert_eq!(members.get(member), Some(&Value::Null), "{member}");
    }
}

async fn running_build_has_its_runner(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let claim = fixture.running_build().await;
    let build = fixture
        .developer
        .get(&build_path(claim.id, ""))
        .await
        .json();
    assert_eq!(build["status"], "running");
    assert_is_time(&build, "started_at");
    let runner = json!({
        "id": claim.runner.id.0, "description": "a runner", "active": true, "is_shared": true,
        "name": "gitlab-ci-multi-runner",
    });
    assert_eq!(build["runner"], runner);
}

async fn build_of_another_project_returns_404(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let other = fixture.farm.project("grp/other").await;
    let build = fixture.farm.build(&other).await;
    let other_id = fixture.farm.jobs(&build).await[0].id;
    for id in [slipway_domain::JobId(424_242), other_id] {
        let response = fixture.admin.get(&build_path(id, "")).await;
        response.fails_with(404, "404 Not Found");
        let response = fixture.admin.post(&build_path(id, "/cancel")).await;
        response.fails_with(404, "404 Not Found");
    }
    assert_eq!(fixture.farm.job(other_id).await.state.name(), "pending");
}

async fn build_id_that_is_not_a_number_returns_400(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for id in ["abc", "1.5", "%00", "%F0%9F%A6%80"] {
        let response = fixture
            .developer
            .get(&format!("{PROJECT}/builds/{id}"))
            .await;
        response.has_error(400, "build_id is invalid");
    }
    for id in ["-1", "0", "99999999999999999999999"] {
        let response = fixture
            .developer
            .get(&format!("{PROJECT}/builds/{id}"))
            .await;
        response.fails_with(404, "404 Not Found");
    }
}

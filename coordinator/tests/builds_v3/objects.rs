//! Checks 24 to 29: what a build looks like, and how one is named.

use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::support::{P, World, build_path};

on_both_back_ends!(
    check_24_a_build_has_all_its_members,
    check_25_no_artifacts_are_null,
    check_26_what_has_not_begun_has_no_times_and_no_runner,
    check_27_a_running_build_has_its_runner,
    check_28_a_build_that_is_not_in_the_project_is_404,
    check_29_an_id_that_is_no_number_is_400,
);

/// A member is a time in UTC with milliseconds.
#[track_caller]
fn is_time(build: &Value, member: &str) {
    let text = build[member].as_str().unwrap();
    assert_eq!((text.len(), &text[23..]), (24, "Z"), "{member}: {text}");
    assert!(text.parse::<chrono::DateTime<chrono::Utc>>().is_ok());
}

async fn check_24_a_build_has_all_its_members(backend: Backend) {
    let world = World::start(backend).await;
    let claim = world.rich().await;
    let build = world.developer.get(&build_path(claim.id, "")).await;
    let build = build.is(200).json();
    for member in ["created_at", "started_at", "finished_at"] {
        is_time(&build, member);
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
    // What is null is there all the same.
    let members = build.as_object().unwrap();
    for member in ["coverage", "commit"] {
        assert_eq!(members.get(member), Some(&Value::Null), "{member}");
    }
    // In a list it is the same.
    let list = world.developer.get(&format!("{P}/builds")).await;
    assert_eq!(list.items(), [build]);
}

async fn check_25_no_artifacts_are_null(backend: Backend) {
    let world = World::start(backend).await;
    let claim = world.ended("success").await;
    let build = world.developer.get(&build_path(claim.id, "")).await.json();
    let file = build.as_object().unwrap().get("artifacts_file");
    assert_eq!(file, Some(&Value::Null));
}

async fn check_26_what_has_not_begun_has_no_times_and_no_runner(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.pending().await;
    let build = world.developer.get(&build_path(id, "")).await.json();
    assert_eq!(build["status"], "pending");
    let members = build.as_object().unwrap();
    for member in ["started_at", "finished_at", "runner"] {
        assert_eq!(members.get(member), Some(&Value::Null), "{member}");
    }
}

async fn check_27_a_running_build_has_its_runner(backend: Backend) {
    let world = World::start(backend).await;
    let claim = world.running().await;
    let build = world.developer.get(&build_path(claim.id, "")).await.json();
    assert_eq!(build["status"], "running");
    is_time(&build, "started_at");
    let runner = json!({
        "id": claim.runner.id.0, "description": "a runner", "active": true, "is_shared": true,
        "name": "gitlab-ci-multi-runner",
    });
    assert_eq!(build["runner"], runner);
}

async fn check_28_a_build_that_is_not_in_the_project_is_404(backend: Backend) {
    let world = World::start(backend).await;
    let other = world.farm.project("grp/other").await;
    let build = world.farm.build(&other).await;
    let elsewhere = world.farm.jobs(&build).await[0].id;
    for id in [slipway_domain::JobId(424_242), elsewhere] {
        let answer = world.admin.get(&build_path(id, "")).await;
        answer.is_error(404, "404 Not Found");
        let answer = world.admin.post(&build_path(id, "/cancel")).await;
        answer.is_error(404, "404 Not Found");
    }
    assert_eq!(world.farm.job(elsewhere).await.state.name(), "pending");
}

async fn check_29_an_id_that_is_no_number_is_400(backend: Backend) {
    let world = World::start(backend).await;
    for id in ["abc", "1.5", "%00", "%F0%9F%A6%80"] {
        let answer = world.developer.get(&format!("{P}/builds/{id}")).await;
        answer.errs(400, "build_id is invalid");
    }
    for id in ["-1", "0", "99999999999999999999999"] {
        let answer = world.developer.get(&format!("{P}/builds/{id}")).await;
        answer.is_error(404, "404 Not Found");
    }
}

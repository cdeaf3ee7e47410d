//! The JSON of a claimed job.
//!
//! See `docs/protocols/runner-v1.md#job-payload`.

use serde_json::{Value, json};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::RunnerApi;

on_both_back_ends!(
    claimed_job_has_the_json_types_that_stock_runners_decode,
    claimed_job_lists_the_artifacts_of_the_jobs_it_needs,
);

async fn claimed_job_has_the_json_types_that_stock_runners_decode(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm.build(&project).await;
    let response = RunnerApi::new(&farm)
        .register_runner(&farm)
        .await
        .poll()
        .await
        .is(201);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.queue_key(), None);
    let job = response.json();
    // 32-bit clients decode ids as `int`.
    for id in ["id", "project_id", "timeout"] {
        let number = job[id].as_i64().unwrap();
        assert!(
            (1..=i64::from(i32::MAX)).contains(&number),
            "{id}: {number}"
        );
    }
    assert_eq!(job["id"], farm.jobs(&build).await[0].id.0);
    assert_eq!(job["project_id"], project.id().0);
    assert_eq!(job["timeout"], 3600);
    for text in [
        "project_name",
        "commands",
        "repo_url",
        "ref",
        "sha",
        "before_sha",
        "status",
        "token",
        "name",
        "stage",
    ] {
        assert!(job[text].is_string(), "{text}: {}", job[text]);
    }
    assert_eq!(job["sha"], slipway_testkit::farm::SHA);
    assert_eq!(job["before_sha"], "0".repeat(40));
    assert_eq!(
        (&job["ref"], &job["status"]),
        (&json!("main"), &json!("running"))
    );
    assert_eq!(
        (&job["tag"], &job["allow_git_fetch"]),
        (&json!(false), &json!(true))
    );
    assert!(job["options"].is_object());
    assert_eq!(job["depends_on_builds"], json!([]));
    assert_eq!(job["credentials"], json!([]));
    let variables = job["variables"].as_array().unwrap();
    assert!(!variables.is_empty());
    for variable in variables {
        assert!(variable["key"].is_string(), "{variable}");
        assert!(variable["value"].is_string(), "{variable}");
        assert!(variable["public"].is_boolean(), "{variable}");
    }
    let value_of = |key: &str| -> &Value {
        let found = variables.iter().find(|variable| variable["key"] == key);
        &found.unwrap_or_else(|| panic!("no {key}"))["value"]
    };
    assert_eq!(*value_of("CI_BUILD_ID"), job["id"].to_string());
    assert_eq!(*value_of("CI_BUILD_NAME"), job["name"]);
    assert_eq!(*value_of("CI_BUILD_TOKEN"), job["token"]);
    // Members of protocol v4 must not appear here.
    for later in [
        "steps",
        "git_info",
        "job_info",
        "image",
        "services",
        "artifacts_file",
    ] {
        assert!(job.get(later).is_none(), "{later}");
    }
}

async fn claimed_job_lists_the_artifacts_of_the_jobs_it_needs(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let jobs: [(&str, &[&str]); 2] = [("first", &[]), ("second", &["first"])];
    farm.build_of(&project, &jobs).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let first = runner.claim().await;
    assert_eq!(first.payload["name"], "first");
    runner.expect_no_job().await;
    first.upload("", "a.zip", b"PK zip").await.is(201);
    first.succeed().await;
    let second = runner.claim().await;
    assert_eq!(second.payload["name"], "second");
    let entries = second.payload["depends_on_builds"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    let entry = &entries[0];
    assert_eq!(entry["id"], first.id.0);
    assert_eq!(entry["name"], "first");
    assert_eq!(entry["status"], "success");
    assert_eq!(
        entry["artifacts_file"],
        json!({"filename": "a.zip", "size": 6})
    );
    let mut fetching = first.clone();
    fetching.token = entry["token"].as_str().unwrap().to_owned();
    assert_eq!(fetching.download().await.is(200).body, "PK zip");
    // The token gives access to that archive only.
    let response = fetching.patch("0-1", "x").await;
    response.fails_with_text(403, "403 Forbidden");
    fetching.id = second.id;
    fetching.download().await.fails_with(403, "403 Forbidden");
}

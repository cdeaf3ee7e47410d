//! Pipelines, which are the farm's builds.
//!
//! See `docs/protocols/gitlab-builds-v3.md#pipelines`.

use serde_json::{Value, json};
use slipway_testkit::farm::SHA;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{PROJECT, build_path};
use crate::fixture::Fixture;

on_both_back_ends!(pipeline_is_read_canceled_and_retried);

async fn pipeline_is_read_canceled_and_retried(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.pending_build().await;
    let build = fixture.developer.get(&build_path(id, "")).await.json();
    let pipeline = build["pipeline"]["id"].as_i64().unwrap();
    fixture.pending_build_of("other", SHA).await;
    let path = |below: &str| format!("{PROJECT}/pipelines/{pipeline}{below}");
    let details = fixture.reporter.get(&path("")).await.is(200).json();
    for (member, value) in [
        ("id", json!(pipeline)),
        ("sha", json!(SHA)),
        ("ref", json!("master")),
        ("status", json!("pending")),
        ("before_sha", json!("0".repeat(40))),
        ("tag", json!(false)),
        ("yaml_errors", Value::Null),
        ("started_at", Value::Null),
        ("finished_at", Value::Null),
        ("committed_at", Value::Null),
        ("duration", Value::Null),
        ("coverage", Value::Null),
    ] {
        assert_eq!(
            details.as_object().unwrap().get(member),
            Some(&value),
            "{member}"
        );
    }
    assert_eq!(details["user"]["username"], "root");
    let list = fixture
        .reporter
        .get(&format!("{PROJECT}/pipelines?per_page=1&page=2"))
        .await;
    assert_eq!(list.header("x-total"), Some("2"));
    assert_eq!(list.items(), [details]);

    for action in ["/cancel", "/retry"] {
        let response = fixture.reporter.post(&path(action)).await;
        response.fails_with(403, "403 Forbidden");
    }
    // Retrying a pending pipeline and canceling a canceled one change nothing.
    for (action, code, status) in [
        ("/retry", 201, "pending"),
        ("/cancel", 200, "canceled"),
        ("/cancel", 200, "canceled"),
        ("/retry", 201, "pending"),
    ] {
        let response = fixture.developer.post(&path(action)).await.is(code).json();
        assert_eq!(
            (&response["id"], &response["status"]),
            (&json!(pipeline), &json!(status))
        );
    }
    for (unknown, code) in [("424242", 404), ("abc", 400)] {
        let response = fixture
            .developer
            .get(&format!("{PROJECT}/pipelines/{unknown}"))
            .await;
        response.is(code);
    }
}

//! Builds, jobs, runners and the queue.

use serde_json::{Value, json};
use slipway_domain::{BuildStep, ImageDetails, Layer, ReportedResult};
use slipway_farm::{Ended, MadeImage, Report};

use crate::support::{Api, SHA};

const BUILDS: &str = "/v1/projects/acme/api/builds";

fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

#[actix_web::test]
async fn a_build_is_created_listed_canceled_and_retried() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.as_str();
    let build = api.build().await;
    assert_eq!(build["state"], "pending");
    assert_eq!(build["pipeline"], "default");
    assert_eq!(build["project"], "acme/api");
    assert_eq!(build["jobs"][0]["build"], build["id"]);
    let path = format!("/v1/builds/{}", id(&build));
    let found = api.get(root, &path).await.expect(200).json();
    assert_eq!(found["sha"], SHA);

    for (query, count) in [
        ("state=pending", 1),
        ("state=failed", 0),
        ("ref=main", 1),
        ("ref=side", 0),
        (&format!("sha={SHA}"), 1),
        ("pipeline=default", 1),
    ] {
        let list = api
            .get(root, &format!("{BUILDS}?{query}"))
            .await
            .expect(200);
        let items = list.json()["items"].as_array().unwrap().len();
        assert_eq!(items, count, "{query}");
    }
    api.get(root, &format!("{BUILDS}?pipeline=none"))
        .await
        .expect(404);
    api.get(root, &format!("{BUILDS}?state=lost"))
        .await
        .expect(400);
    api.post(root, BUILDS, json!({"sha": SHA, "pipeline": "none"}))
        .await
        .expect(404);
    api.post(root, BUILDS, json!({"sha": "abc"}))
        .await
        .expect(400);

    let cancel = format!("{path}/cancel");
    let canceled = api.post(root, &cancel, json!({})).await.expect(200).json();
    assert_eq!(canceled["state"], "canceled");
    api.post(root, &cancel, json!({})).await.expect(409);
    let retried = api.post(root, &format!("{path}/retry"), json!({})).await;
    let retried = retried.expect(200).json();
    assert_eq!(retried["state"], "pending");
    assert_eq!(retried["jobs"].as_array().unwrap().len(), 2);
    let none = "/v1/builds/00000000-0000-7000-8000-000000000000";
    api.get(root, none).await.expect(404);
}

#[actix_web::test]
async fn a_job_is_canceled_and_retried() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.as_str();
    let build = api.build().await;
    let job = build["jobs"][0]["id"].as_i64().unwrap();
    let path = format!("/v1/jobs/{job}");
    api.post(root, &format!("{path}/retry"), json!({}))
        .await
        .expect(409);
    api.post(root, &format!("{path}/erase"), json!({}))
        .await
        .expect(409);
    let canceled = api.post(root, &format!("{path}/cancel"), json!({})).await;
    assert_eq!(canceled.expect(200).json()["state"], "canceled");
    api.post(root, &format!("{path}/cancel"), json!({}))
        .await
        .expect(409);
    let retried = api.post(root, &format!("{path}/retry"), json!({})).await;
    let retried = retried.expect(201).json();
    assert_eq!(retried["retries"], job);
    assert_eq!(retried["attempt"], 2);
    api.post(root, &format!("{path}/retry"), json!({}))
        .await
        .expect(409);
    // It has neither a trace nor artifacts.
    api.post(root, &format!("{path}/erase"), json!({}))
        .await
        .expect(409);
    api.get(root, "/v1/jobs/999").await.expect(404);
}

#[actix_web::test]
async fn a_manual_job_is_played_once() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.as_str();
    let spec = json!({"kind": "image_build"});
    let job = json!({"name": "image", "when": "manual", "spec": spec});
    let definition = json!({"definition": {"jobs": [job]}});
    let pipeline = "/v1/projects/acme/api/pipelines/default";
    api.put(root, pipeline, definition).await.expect(200);
    let build = api.build().await;
    assert_eq!(build["jobs"][0]["state"], "manual");
    let play = format!("/v1/jobs/{}/play", build["jobs"][0]["id"]);
    let played = api.post(root, &play, json!({})).await.expect(200);
    assert_eq!(played.json()["state"], "pending");
    api.post(root, &play, json!({})).await.expect(409);
    let none = "/v1/jobs/999/play";
    api.post(root, none, json!({})).await.expect(404);
}

#[actix_web::test]
async fn the_queue_shows_why_jobs_are_pending() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.as_str();
    let build = api.build().await;
    let path = format!("/v1/jobs/{}/pending-reason", build["jobs"][0]["id"]);
    let reason = api.get(root, &path).await.expect(200).json();
    assert_eq!(reason["reason"]["code"], "no_runner_for_project");
    let queue = api.get(root, "/v1/queue").await.expect(200).json();
    assert_eq!(queue["items"][0]["project"], "acme/api");
    assert_eq!(queue["items"][0]["count"], 1);
    assert!(queue["items"][0]["oldest"].is_string());

    let runner = api.runner().await;
    let reason = api.get(root, &path).await.expect(200).json();
    assert_eq!(reason["reason"]["code"], "all_offline");
    api.claim(&runner).await;
    let reason = api.get(root, &path).await.expect(200).json();
    assert_eq!(reason, json!({"reason": null}));
    let queue = api.get(root, "/v1/queue").await.expect(200).json();
    assert_eq!(queue["items"], json!([]));
}

#[actix_web::test]
async fn a_runner_is_shown_changed_and_deleted() {
    let api = Api::start().await;
    let root = api.root.as_str();
    let runner = api.runner().await;
    let path = format!("/v1/runners/{}", runner.id);
    let shown = api.get(root, &path).await.expect(200).json();
    assert_eq!(shown["shared"], true);
    assert_eq!(shown["online"], false);
    let change = json!({"paused": true, "tags": ["arm64"]});
    let changed = api.patch(root, &path, change).await.expect(200).json();
    assert_eq!(changed["paused"], true);
    assert_eq!(changed["tags"], json!(["arm64"]));
    let never = json!({"tags": [], "run_untagged": false});
    api.patch(root, &path, never).await.expect(400);
    let list = api.get(root, "/v1/runners").await.expect(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    api.delete(root, &path).await.expect(204);
    api.get(root, &path).await.expect(404);
}

#[actix_web::test]
async fn a_failed_job_shows_its_reason_and_message() {
    let api = Api::start().await;
    api.project().await;
    api.build().await;
    let runner = api.runner().await;
    let claimed = api.claim(&runner).await;
    let report = Report {
        ended: Some(Ended {
            result: ReportedResult::Failed(slipway_domain::FailureReason::BuildFailed),
            message: Some("step 3 failed".to_owned()),
            trace: None,
            image: None,
            exit_code: None,
            build_steps: Vec::new(),
        }),
        ..Report::default()
    };
    api.farm
        .report(&runner, claimed.job.id, report)
        .await
        .unwrap();
    let path = format!("/v1/jobs/{}", claimed.job.id);
    let job = api.get(&api.root, &path).await.expect(200).json();
    assert_eq!(job["state"], "failed");
    assert_eq!(job["failure_reason"], "build_failed");
    assert_eq!(job["failure_message"], "step 3 failed");
    assert_eq!(job["runner"], runner.id.0);
}

#[actix_web::test]
async fn a_finished_image_build_shows_its_steps_and_layers() {
    let api = Api::start().await;
    api.project().await;
    api.build().await;
    let runner = api.runner().await;
    let job = api.claim(&runner).await.job;
    let layer = Layer {
        diff_id: "sha256:1".to_owned(),
        size_bytes: Some(7),
    };
    let details = ImageDetails {
        platform: Some("linux/arm64".parse().unwrap()),
        layers: vec![layer],
    };
    let step = |name: &str, duration_ms, cached| BuildStep {
        name: name.to_owned(),
        duration_ms,
        cached,
        failed: false,
    };
    let report = Report {
        ended: Some(Ended {
            result: ReportedResult::Succeeded,
            message: None,
            trace: None,
            image: Some(MadeImage {
                reference: Some("r.example/acme/api:v1".to_owned()),
                digest: "sha256:2".to_owned(),
                tags: vec!["v1".to_owned()],
                size_bytes: 8,
                details,
            }),
            exit_code: None,
            build_steps: vec![
                step("[1/2] FROM base", 0, true),
                step("[2/2] RUN make", 1500, false),
            ],
        }),
        ..Report::default()
    };
    api.farm.report(&runner, job.id, report).await.unwrap();
    let root = api.root.as_str();
    let shown = api
        .get(root, &format!("/v1/jobs/{}", job.id))
        .await
        .expect(200)
        .json();
    let steps = json!([
        {"name": "[1/2] FROM base", "duration_ms": 0, "cached": true, "failed": false},
        {"name": "[2/2] RUN make", "duration_ms": 1500, "cached": false, "failed": false},
    ]);
    assert_eq!(shown["build_steps"], steps);
    let build = shown["build"].as_str().unwrap();
    let whole = api
        .get(root, &format!("/v1/builds/{build}"))
        .await
        .expect(200)
        .json();
    assert_eq!(whole["jobs"][0]["build_steps"], steps);
    let created = api
        .get(root, &format!("/v1/jobs/{}/artifacts", job.id))
        .await
        .expect(200)
        .json();
    let image = &created["items"][0];
    assert_eq!(image["platform"], "linux/arm64");
    assert_eq!(
        image["layers"],
        json!([{"diff_id": "sha256:1", "size_bytes": 7}])
    );
}

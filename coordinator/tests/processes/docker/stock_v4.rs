//! The steps for stock runners of protocol v4, run by a shell with plain `docker`. The recorded artifacts equal
//! those of our runner.

use serde_json::{Value, json};
use slipway_test_engine::{SHELL, docker};

use super::{Fixture, artifacts, one_job, var};
use crate::farm::{trace_of, wait_until_finished};
use crate::scripted_runner_v4::{FinishedJob, ScriptedRunner};

async fn stock(fixture: &Fixture) -> ScriptedRunner {
    let token = fixture.farm.secret("registration-token");
    ScriptedRunner::register(&fixture.farm.url(""), &token, "stock").await
}

async fn ran(stock: &ScriptedRunner) -> FinishedJob {
    let job = slipway_testkit::wait_for(crate::farm::LIMIT, "a job", || stock.claim()).await;
    stock.run(&job).await
}

/// An image build for stock runners.
fn stock_image() -> Value {
    let mut job = one_job("image", json!({"kind": "image_build"}));
    job["tags"] = json!(["stock"]);
    job
}

async fn image_of(fixture: &Fixture, job: i64) -> Value {
    let made = artifacts(&fixture.farm, job).await;
    assert_eq!(made.len(), 1, "{made:#?}");
    made[0].clone()
}

#[tokio::test]
async fn steps_push_and_record_the_same_image_as_our_runner() {
    let fixture = Fixture::bare().await;
    let stock = stock(&fixture).await;
    fixture.set_pipeline(json!([stock_image()])).await;
    let sha = fixture.repo.commit(&[("Dockerfile", SHELL)], "first");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let ran = ran(&stock).await;
    assert!(ran.succeeded, "{}", ran.trace);
    let password = var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD");
    assert!(!ran.trace.contains(&password), "{}", ran.trace);
    let done = wait_until_finished(&fixture.farm, &build).await;
    assert_eq!(done["state"], "succeeded", "{done:#}");
    assert_eq!(trace_of(&fixture.farm, &done["jobs"][0]).await, ran.trace);

    let by_stock = image_of(&fixture, ran.id).await;
    assert_eq!(
        by_stock["reference"],
        format!("{}:{sha}", fixture.repository)
    );
    for tag in by_stock["tags"].as_array().unwrap() {
        let held = fixture.digest_of(tag.as_str().unwrap()).await;
        assert_eq!(by_stock["digest"], held.as_str());
    }
    // No login, directory or tag stays on the host.
    let left: Vec<_> = std::fs::read_dir(stock.temporary()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(docker(&["image", "ls", "-q", &fixture.repository]), "");

    // Our runner records the same for the same commit, except for the digest.
    let mut ours = stock_image();
    ours["tags"] = json!([]);
    fixture.set_pipeline(json!([ours])).await;
    let _runner = fixture.farm.runner_with("runner", &[]);
    let build = fixture.build(json!({ "ref": "main" })).await;
    let done = wait_until_finished(&fixture.farm, &build).await;
    assert_eq!(done["state"], "succeeded", "{done:#}");
    let by_ours = image_of(&fixture, done["jobs"][0]["id"].as_i64().unwrap()).await;
    for member in ["kind", "reference", "tags", "size_bytes", "expires_at"] {
        assert_eq!(by_stock[member], by_ours[member], "{member}");
    }
}

#[tokio::test]
async fn failing_steps_push_nothing_and_leave_nothing() {
    let fixture = Fixture::bare().await;
    let stock = stock(&fixture).await;
    fixture.set_pipeline(json!([stock_image()])).await;
    let dockerfile = format!("{SHELL}RUN exit 9\n");
    let sha = fixture.repo.commit(&[("Dockerfile", &dockerfile)], "fails");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let ran = ran(&stock).await;
    assert!(!ran.succeeded, "{}", ran.trace);
    let done = wait_until_finished(&fixture.farm, &build).await;
    assert_eq!(done["jobs"][0]["failure_reason"], "job_failed", "{done:#}");
    assert!(artifacts(&fixture.farm, ran.id).await.is_empty());
    assert!(!fixture.has_tag(&sha).await);
    let left: Vec<_> = std::fs::read_dir(stock.temporary()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

//! The steps that runners of protocol v4 get, run by a shell with plain `docker`: what is pushed and
//! recorded is the same as with our runner.

use serde_json::{Value, json};
use slipway_test_engine::{SHELL, docker};

use super::{Yard, artifacts, one_job, var};
use crate::farm::{finished, trace_of};
use crate::scripted_runner_v4::{FinishedJob, ScriptedRunner};

async fn stock(yard: &Yard) -> ScriptedRunner {
    let token = yard.farm.secret("registration-token");
    ScriptedRunner::register(&yard.farm.url(""), &token, "stock").await
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

async fn image_of(yard: &Yard, job: i64) -> Value {
    let made = artifacts(&yard.farm, job).await;
    assert_eq!(made.len(), 1, "{made:#?}");
    made[0].clone()
}

#[tokio::test]
async fn steps_push_the_same_image_as_our_runner_and_it_is_recorded() {
    let yard = Yard::bare().await;
    let stock = stock(&yard).await;
    yard.pipeline(json!([stock_image()])).await;
    let sha = yard.repo.commit(&[("Dockerfile", SHELL)], "first");
    let build = yard.build(json!({ "ref": "main" })).await;
    let ran = ran(&stock).await;
    assert!(ran.succeeded, "{}", ran.trace);
    let password = var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD");
    assert!(!ran.trace.contains(&password), "{}", ran.trace);
    let done = finished(&yard.farm, &build).await;
    assert_eq!(done["state"], "succeeded", "{done:#}");
    assert_eq!(trace_of(&yard.farm, &done["jobs"][0]).await, ran.trace);

    let by_stock = image_of(&yard, ran.id).await;
    assert_eq!(by_stock["reference"], format!("{}:{sha}", yard.repository));
    for tag in by_stock["tags"].as_array().unwrap() {
        let held = yard.digest_of(tag.as_str().unwrap()).await;
        assert_eq!(by_stock["digest"], held.as_str());
    }
    // Nothing is left on the host: no login, no directory, no tag.
    let left: Vec<_> = std::fs::read_dir(stock.temporary()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(docker(&["image", "ls", "-q", &yard.repository]), "");

    // Our runner says the same of the same commit, but for its own digest.
    let mut ours = stock_image();
    ours["tags"] = json!([]);
    yard.pipeline(json!([ours])).await;
    let _runner = yard.farm.runner_with("runner", &[]);
    let build = yard.build(json!({ "ref": "main" })).await;
    let done = finished(&yard.farm, &build).await;
    assert_eq!(done["state"], "succeeded", "{done:#}");
    let by_ours = image_of(&yard, done["jobs"][0]["id"].as_i64().unwrap()).await;
    for member in ["kind", "reference", "tags", "size_bytes", "expires_at"] {
        assert_eq!(by_stock[member], by_ours[member], "{member}");
    }
}

#[tokio::test]
async fn steps_that_fail_push_nothing_and_leave_nothing() {
    let yard = Yard::bare().await;
    let stock = stock(&yard).await;
    yard.pipeline(json!([stock_image()])).await;
    let dockerfile = format!("{SHELL}RUN exit 9\n");
    let sha = yard.repo.commit(&[("Dockerfile", &dockerfile)], "fails");
    let build = yard.build(json!({ "ref": "main" })).await;
    let ran = ran(&stock).await;
    assert!(!ran.succeeded, "{}", ran.trace);
    let done = finished(&yard.farm, &build).await;
    assert_eq!(done["jobs"][0]["failure_reason"], "job_failed", "{done:#}");
    assert!(artifacts(&yard.farm, ran.id).await.is_empty());
    assert!(!yard.has_tag(&sha).await);
    let left: Vec<_> = std::fs::read_dir(stock.temporary()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

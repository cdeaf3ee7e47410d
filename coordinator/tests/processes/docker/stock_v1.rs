//! Stock runners of protocol v1 build and push with the `docker` command of their host.
//! The recorded artifacts equal those of our runner.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_test_engine::{SHELL, docker};

use super::{Fixture, artifacts, one_job, var};
use crate::farm::{trace_of, wait_until_finished};
use crate::stock_runner::StockRunner;

/// A pipeline of one image build for stock runners.
fn stock_image() -> Value {
    let mut job = one_job("image", json!({"kind": "image_build"}));
    job["tags"] = json!(["stock"]);
    job
}

#[tokio::test]
async fn stock_runner_pushes_and_records_the_same_image_as_ours() {
    let fixture = Fixture::bare().await;
    let stock = StockRunner::register(&fixture.farm, "stock").await;
    fixture.set_pipeline(json!([stock_image()])).await;
    // A step that prints a fake marked line does not know the mark.
    let digest = format!("sha256:{}", "0a".repeat(32));
    let forged = format!("RUN echo 'slipway-image {} {digest} 7'\n", "0".repeat(40));
    let dockerfile = format!("{SHELL}{forged}");
    fixture.repo.commit(&[("Dockerfile", &dockerfile)], "first");
    fixture.repo.branch("feature/odd+name");
    let sha = fixture.repo.commit(&[("more", "x")], "second");
    let build = fixture.build(json!({ "ref": "feature/odd+name" })).await;
    let ran = stock.work().await;
    assert!(ran.succeeded, "{}", ran.trace);
    let password = var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD");
    assert!(!ran.trace.contains(&password), "{}", ran.trace);
    let done = wait_until_finished(&fixture.farm, &build).await;
    assert_eq!(done["state"], "succeeded", "{done:#}");
    let kept = trace_of(&fixture.farm, &done["jobs"][0]).await;
    assert_eq!(kept, ran.trace);

    let by_stock = image_of(&fixture, ran.id).await;
    let tags = by_stock["tags"].as_array().unwrap().clone();
    assert_eq!(tags.len(), 2, "{by_stock:#}");
    assert_eq!(tags[0], sha.as_str());
    assert_eq!(
        by_stock["reference"],
        format!("{}:{sha}", fixture.repository)
    );
    for tag in &tags {
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
    let build = fixture.build(json!({ "ref": "feature/odd+name" })).await;
    let done = wait_until_finished(&fixture.farm, &build).await;
    assert_eq!(done["state"], "succeeded", "{done:#}");
    let by_ours = image_of(&fixture, done["jobs"][0]["id"].as_i64().unwrap()).await;
    for member in ["kind", "reference", "tags", "size_bytes", "expires_at"] {
        assert_eq!(by_stock[member], by_ours[member], "{member}");
    }
}

async fn image_of(fixture: &Fixture, job: i64) -> Value {
    let made = artifacts(&fixture.farm, job).await;
    assert_eq!(made.len(), 1, "{made:#?}");
    made[0].clone()
}

#[tokio::test]
async fn failed_build_of_a_stock_runner_pushes_nothing_and_leaves_nothing() {
    let fixture = Fixture::bare().await;
    let stock = StockRunner::register(&fixture.farm, "stock").await;
    fixture.set_pipeline(json!([stock_image()])).await;
    let dockerfile = format!("{SHELL}RUN exit 9\n");
    let sha = fixture.repo.commit(&[("Dockerfile", &dockerfile)], "fails");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let ran = stock.work().await;
    assert!(!ran.succeeded, "{}", ran.trace);
    let done = wait_until_finished(&fixture.farm, &build).await;
    assert_eq!(done["jobs"][0]["failure_reason"], "job_failed", "{done:#}");
    assert!(artifacts(&fixture.farm, ran.id).await.is_empty());
    assert!(!fixture.has_tag(&sha).await);
    let left: Vec<_> = std::fs::read_dir(stock.temporary()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn stock_runner_runs_scripts_and_passes_artifacts_on() {
    let fixture = Fixture::bare().await;
    let stock = StockRunner::register(&fixture.farm, "stock").await;
    let commands = json!([
        "mkdir -p out",
        "if [ \"$GREETING\" ]; then\n  echo \"$GREETING, it's $CI_BUILD_NAME\" >out/text\nfi",
    ]);
    let mut first = one_job(
        "first",
        json!({
            "kind": "script", "commands": commands, "variables": {"GREETING": "a  'b' \"c\" $d"},
            "artifacts": {"paths": ["out/"], "name": "text", "expire_in": "1 week"},
        }),
    );
    let mut second = one_job(
        "second",
        json!({"kind": "script", "commands": ["cat out/text"]}),
    );
    second["needs"] = json!(["first"]);
    for job in [&mut first, &mut second] {
        job["tags"] = json!(["stock"]);
    }
    fixture.set_pipeline(json!([first, second])).await;
    fixture.repo.commit(&[("readme", "x")], "one");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let ran = stock.work().await;
    assert!(ran.succeeded, "{}", ran.trace);
    let made = artifacts(&fixture.farm, ran.id).await;
    assert_eq!(made[0]["filename"], "text.zip", "{made:#?}");
    assert!(made[0]["expires_at"].is_string(), "{made:#?}");
    let ran = stock.work().await;
    assert!(
        ran.trace.contains("a  'b' \"c\" $d, it's first\n"),
        "{}",
        ran.trace
    );
    assert_eq!(
        wait_until_finished(&fixture.farm, &build).await["state"],
        "succeeded"
    );
}

#[tokio::test]
async fn stock_and_own_runner_share_a_build_by_tags() {
    let fixture = Fixture::bare().await;
    let stock = StockRunner::register(&fixture.farm, "shell").await;
    let tags = ["--tags", "engine", "--run-untagged=false"];
    let _ours = fixture.farm.runner_registered("ours", &tags, &[]);
    let mut script = one_job(
        "generate",
        json!({
            "kind": "script", "commands": ["echo 'made by a script' >generated"],
            "artifacts": {"paths": ["generated"]},
        }),
    );
    script["tags"] = json!(["shell"]);
    let mut image = one_job("image", json!({"kind": "image_build"}));
    image["tags"] = json!(["engine"]);
    image["needs"] = json!(["generate"]);
    fixture.set_pipeline(json!([script, image])).await;
    let dockerfile = format!("{SHELL}COPY generated /\nRUN grep 'by a script' /generated\n");
    let sha = fixture.repo.commit(&[("Dockerfile", &dockerfile)], "one");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let ran = stock.work().await;
    assert!(ran.succeeded, "{}", ran.trace);
    let done = wait_until_finished(&fixture.farm, &build).await;
    let trace = trace_of(&fixture.farm, &done["jobs"][1]).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{trace}");
    assert!(fixture.has_tag(&sha).await);
    let runners = fixture.farm.api(Method::GET, "/v1/runners", None).await;
    let of = |tag: &str| {
        let mut all = runners["items"].as_array().unwrap().iter();
        all.find(|runner| runner["tags"] == json!([tag])).unwrap()["id"].clone()
    };
    assert_eq!(done["jobs"][0]["runner"], of("shell"), "{done:#}");
    assert_eq!(done["jobs"][1]["runner"], of("engine"), "{done:#}");
}

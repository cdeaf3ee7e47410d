//! Stock runners as executors: they build and push with the `docker` command of their host, and
//! what is recorded is the same as with our runner.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_test_engine::{SHELL, docker};

use super::{Yard, artifacts, one_job, var};
use crate::farm::{finished, trace_of};
use crate::stock::Stock;

/// A pipeline of one image build for stock runners.
fn stock_image() -> Value {
    let mut job = one_job("image", json!({"kind": "image_build"}));
    job["tags"] = json!(["stock"]);
    job
}

#[tokio::test]
async fn a_stock_runner_pushes_the_same_image_and_it_is_recorded() {
    let yard = Yard::bare().await;
    let stock = Stock::register(&yard.farm, "stock").await;
    yard.pipeline(json!([stock_image()])).await;
    // A step that passes itself off as the last line does not know its mark.
    let digest = format!("sha256:{}", "0a".repeat(32));
    let forged = format!("RUN echo 'slipway-image {} {digest} 7'\n", "0".repeat(40));
    let dockerfile = format!("{SHELL}{forged}");
    yard.repo.commit(&[("Dockerfile", &dockerfile)], "first");
    yard.repo.branch("feature/odd+name");
    let sha = yard.repo.commit(&[("more", "x")], "second");
    let build = yard.build(json!({ "ref": "feature/odd+name" })).await;
    let ran = stock.work().await;
    assert!(ran.succeeded, "{}", ran.trace);
    let password = var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD");
    assert!(!ran.trace.contains(&password), "{}", ran.trace);
    let done = finished(&yard.farm, &build).await;
    assert_eq!(done["state"], "succeeded", "{done:#}");
    let kept = trace_of(&yard.farm, &done["jobs"][0]).await;
    assert_eq!(kept, ran.trace);

    let by_stock = image_of(&yard, ran.id).await;
    let tags = by_stock["tags"].as_array().unwrap().clone();
    assert_eq!(tags.len(), 2, "{by_stock:#}");
    assert_eq!(tags[0], sha.as_str());
    assert_eq!(by_stock["reference"], format!("{}:{sha}", yard.repository));
    for tag in &tags {
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
    let build = yard.build(json!({ "ref": "feature/odd+name" })).await;
    let done = finished(&yard.farm, &build).await;
    assert_eq!(done["state"], "succeeded", "{done:#}");
    let by_ours = image_of(&yard, done["jobs"][0]["id"].as_i64().unwrap()).await;
    for member in ["kind", "reference", "tags", "size_bytes", "expires_at"] {
        assert_eq!(by_stock[member], by_ours[member], "{member}");
    }
}

async fn image_of(yard: &Yard, job: i64) -> Value {
    let made = artifacts(&yard.farm, job).await;
    assert_eq!(made.len(), 1, "{made:#?}");
    made[0].clone()
}

#[tokio::test]
async fn a_stock_runners_failed_build_pushes_nothing_and_leaves_nothing() {
    let yard = Yard::bare().await;
    let stock = Stock::register(&yard.farm, "stock").await;
    yard.pipeline(json!([stock_image()])).await;
    let dockerfile = format!("{SHELL}RUN exit 9\n");
    let sha = yard.repo.commit(&[("Dockerfile", &dockerfile)], "fails");
    let build = yard.build(json!({ "ref": "main" })).await;
    let ran = stock.work().await;
    assert!(!ran.succeeded, "{}", ran.trace);
    let done = finished(&yard.farm, &build).await;
    assert_eq!(done["jobs"][0]["failure_reason"], "job_failed", "{done:#}");
    assert!(artifacts(&yard.farm, ran.id).await.is_empty());
    assert!(!yard.has_tag(&sha).await);
    let left: Vec<_> = std::fs::read_dir(stock.temporary()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_stock_runner_runs_scripts_and_passes_files_on() {
    let yard = Yard::bare().await;
    let stock = Stock::register(&yard.farm, "stock").await;
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
    yard.pipeline(json!([first, second])).await;
    yard.repo.commit(&[("readme", "x")], "one");
    let build = yard.build(json!({ "ref": "main" })).await;
    let ran = stock.work().await;
    assert!(ran.succeeded, "{}", ran.trace);
    let made = artifacts(&yard.farm, ran.id).await;
    assert_eq!(made[0]["filename"], "text.zip", "{made:#?}");
    assert!(made[0]["expires_at"].is_string(), "{made:#?}");
    let ran = stock.work().await;
    assert!(
        ran.trace.contains("a  'b' \"c\" $d, it's first\n"),
        "{}",
        ran.trace
    );
    assert_eq!(finished(&yard.farm, &build).await["state"], "succeeded");
}

#[tokio::test]
async fn two_kinds_of_runners_share_a_build_by_their_tags() {
    let yard = Yard::bare().await;
    let stock = Stock::register(&yard.farm, "shell").await;
    let tags = ["--tags", "engine", "--run-untagged=false"];
    let _ours = yard.farm.runner_registered("ours", &tags, &[]);
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
    yard.pipeline(json!([script, image])).await;
    let dockerfile = format!("{SHELL}COPY generated /\nRUN grep 'by a script' /generated\n");
    let sha = yard.repo.commit(&[("Dockerfile", &dockerfile)], "one");
    let build = yard.build(json!({ "ref": "main" })).await;
    let ran = stock.work().await;
    assert!(ran.succeeded, "{}", ran.trace);
    let done = finished(&yard.farm, &build).await;
    let trace = trace_of(&yard.farm, &done["jobs"][1]).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{trace}");
    assert!(yard.has_tag(&sha).await);
    let runners = yard.farm.api(Method::GET, "/v1/runners", None).await;
    let of = |tag: &str| {
        let mut all = runners["items"].as_array().unwrap().iter();
        all.find(|runner| runner["tags"] == json!([tag])).unwrap()["id"].clone()
    };
    assert_eq!(done["jobs"][0]["runner"], of("shell"), "{done:#}");
    assert_eq!(done["jobs"][1]["runner"], of("engine"), "{done:#}");
}

//! Pipelines of several jobs on two runners: images built on each other, a check that runs in a built image,
//! and jobs that continue from a saved container.

use std::io::{Cursor, Read as _};

use serde_json::{Value, json};
use slipway_test_engine::{SHELL, docker, shell_image};
use slipway_testkit::processes::Process;
use zip::ZipArchive;

use super::{Fixture, artifacts, one_job};
use crate::farm::{trace_of, wait_until_finished};

/// Two runners that claim only jobs with their own tag.
fn two_runners(fixture: &Fixture) -> [Process; 2] {
    ["one", "two"].map(|name| {
        fixture
            .farm
            .runner_registered(name, &["--tags", name], &["--concurrency", "2"])
    })
}

/// Two images, the second built on the first, `command` in the second image, and a job after that. Each
/// job requires a different runner from the one before it.
fn two_images_and_a_check(command: &str) -> String {
    let shell = shell_image();
    format!(
        r#"
jobs:
  base:
    tags: [one]
    image: {{dockerfile: Dockerfile.base}}
  app:
    tags: [two]
    image:
      args_from: {{BASE: base}}
  check:
    tags: [one]
    run_in: {{job: app}}
    script:
      - {command}
      - cat /base /app README | tee out.txt
    artifacts: {{paths: [out.txt]}}
  after:
    tags: [two]
    needs: [check]
    run_in: {shell}
    script: cat out.txt
"#
    )
}

/// Commits the sources of both images and the pipeline; returns the text that is in the images.
fn commit(fixture: &Fixture, command: &str) -> String {
    // Text that is in no cache.
    let word = fixture.repository.rsplit('/').next().unwrap_or_default();
    let base = format!("{SHELL}RUN echo base {word} >/base\n");
    let app = "ARG BASE\nFROM $BASE\nRUN echo app of $(cat /base) >/app\n";
    let jobs = two_images_and_a_check(command);
    let files = [
        (".slipway.yml", jobs.as_str()),
        ("Dockerfile.base", base.as_str()),
        ("Dockerfile", app),
        ("README", "read me\n"),
    ];
    fixture.repo.commit(&files, "two images");
    word.to_owned()
}

async fn traces(fixture: &Fixture, build: &Value) -> Vec<String> {
    let mut traces = Vec::new();
    for job in build["jobs"].as_array().unwrap() {
        traces.push(trace_of(&fixture.farm, job).await);
    }
    traces
}

fn states(build: &Value) -> Vec<(&str, &str)> {
    let jobs = build["jobs"].as_array().unwrap().iter();
    jobs.map(|job| {
        (
            job["name"].as_str().unwrap(),
            job["state"].as_str().unwrap(),
        )
    })
    .collect()
}

#[tokio::test]
async fn images_check_and_artifact_of_one_commit_are_built_on_two_runners() {
    let fixture = Fixture::bare().await;
    let _runners = two_runners(&fixture);
    fixture.read_repository().await;
    let word = commit(&fixture, "test -s /base");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let done = wait_until_finished(&fixture.farm, &build).await;
    let traces = traces(&fixture, &done).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{traces:#?}");
    // Each runner had some of the jobs.
    let runner = |job: usize| done["jobs"][job]["runner"].clone();
    assert!(runner(0).is_i64() && runner(0) != runner(1), "{done:#}");
    assert_eq!((runner(2), runner(3)), (runner(0), runner(1)));
    // The second image and the container use the earlier images by their digests.
    let mut digests = Vec::new();
    for job in [0, 1] {
        let made = artifacts(&fixture.farm, done["jobs"][job]["id"].as_i64().unwrap()).await;
        digests.push(made[0]["digest"].as_str().unwrap().to_owned());
    }
    assert!(traces[1].contains(&digests[0]), "{}", traces[1]);
    let pulled = format!("Pulling {}/app@{}\n", fixture.repository, digests[1]);
    assert!(traces[2].contains(&pulled), "{}", traces[2]);
    let said = format!("base {word}\napp of base {word}\nread me\n");
    assert!(traces[2].contains(&said), "{}", traces[2]);
    assert!(traces[3].contains(&said), "{}", traces[3]);
    let made = artifacts(&fixture.farm, done["jobs"][2]["id"].as_i64().unwrap()).await;
    let path = format!("/v1/artifacts/{}/content", made[0]["id"]);
    let mut zip = ZipArchive::new(Cursor::new(fixture.farm.bytes(&path).await)).unwrap();
    let mut text = String::new();
    let mut file = zip.by_name("out.txt").unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, said);
    // The engine no longer has the images.
    let left = docker(&["image", "ls", "--format", "{{.Repository}}"]);
    assert!(!left.contains(&fixture.repository), "{left}");
}

#[tokio::test]
async fn failing_check_skips_dependent_jobs_with_the_reason() {
    let fixture = Fixture::bare().await;
    let _runners = two_runners(&fixture);
    fixture.read_repository().await;
    commit(&fixture, "grep nothing /app");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let done = wait_until_finished(&fixture.farm, &build).await;
    let told = [
        ("base", "succeeded"),
        ("app", "succeeded"),
        ("check", "failed"),
        ("after", "skipped"),
    ];
    assert_eq!(states(&done), told, "{done:#}");
    assert_eq!(done["state"], "failed");
    let check = &done["jobs"][2];
    assert_eq!(check["failure_reason"], "job_failed");
    let why = "the command `grep nothing /app` exited with 1";
    assert_eq!(check["failure_message"], why);
    let why = "it needs job check, which failed";
    assert_eq!(done["jobs"][3]["failure_message"], why);
    let path = format!("/v1/jobs/{}/artifacts", check["id"]);
    let made = fixture.farm.api(reqwest::Method::GET, &path, None).await;
    assert_eq!(made["items"], json!([]));
    // A failing image build skips all other jobs.
    fixture.repo.commit(
        &[("Dockerfile.base", "FROM scratch\nCOPY none /\n")],
        "broken",
    );
    let build = fixture.build(json!({ "ref": "main" })).await;
    let done = wait_until_finished(&fixture.farm, &build).await;
    let told = [
        ("base", "failed"),
        ("app", "skipped"),
        ("check", "skipped"),
        ("after", "skipped"),
    ];
    assert_eq!(states(&done), told, "{done:#}");
}

#[tokio::test]
async fn job_continues_from_a_saved_container_on_another_runner() {
    let fixture = Fixture::bare().await;
    let _runners = two_runners(&fixture);
    let kept = format!("{}/kept:1", fixture.repository);
    let mut first = one_job(
        "first",
        json!({
            "kind": "script", "image": shell_image(), "keep": kept,
            "commands": ["echo half >work", "echo outside >/else"],
        }),
    );
    first["tags"] = json!(["one"]);
    let mut second = one_job(
        "second",
        json!({
            "kind": "script", "image_of": "first", "goes_on": true,
            "commands": ["pwd", "cat README work /else"],
        }),
    );
    second["tags"] = json!(["two"]);
    second["needs"] = json!(["first"]);
    fixture.set_pipeline(json!([first, second])).await;
    fixture.repo.commit(&[("README", "read me\n")], "one");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let done = wait_until_finished(&fixture.farm, &build).await;
    let traces = traces(&fixture, &done).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{traces:#?}");
    let said = "$ pwd\n/slipway/work\n$ cat README work /else\nread me\nhalf\noutside\n";
    assert!(traces[1].contains(said), "{}", traces[1]);
    let made = artifacts(&fixture.farm, done["jobs"][0]["id"].as_i64().unwrap()).await;
    assert_eq!(made[0]["reference"], kept.as_str(), "{made:#?}");
    let left = docker(&["image", "ls", "--format", "{{.Repository}}"]);
    assert!(!left.contains(&fixture.repository), "{left}");
}

#[tokio::test]
async fn image_of_a_job_is_a_cache_source_for_another() {
    let fixture = Fixture::bare().await;
    let _runners = two_runners(&fixture);
    let mut first = one_job("first", json!({"kind": "image_build"}));
    first["tags"] = json!(["one"]);
    let mut second = one_job(
        "second",
        json!({"kind": "image_build", "cache_of": "first"}),
    );
    second["tags"] = json!(["two"]);
    second["needs"] = json!(["first"]);
    fixture.set_pipeline(json!([first, second])).await;
    fixture.repo.commit(&[("Dockerfile", SHELL)], "one");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let done = wait_until_finished(&fixture.farm, &build).await;
    let traces = traces(&fixture, &done).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{traces:#?}");
    // The first build exports cache metadata, which the second needs.
    assert!(traces[0].contains("exporting cache"), "{}", traces[0]);
    let made = artifacts(&fixture.farm, done["jobs"][0]["id"].as_i64().unwrap()).await;
    let digest = made[0]["digest"].as_str().unwrap();
    let fetched = format!(
        "importing cache manifest from {}/first@{digest}",
        fixture.repository
    );
    assert!(traces[1].contains(&fetched), "{}", traces[1]);
    assert!(!traces[1].contains("No layers reused"), "{}", traces[1]);
    assert!(!traces[1].contains("exporting cache"), "{}", traces[1]);
}

//! Pipelines of several jobs on two runners: images that need each other, a check that runs in what
//! was built, and jobs that go on in a container that another one left.

use std::io::{Cursor, Read as _};

use serde_json::{Value, json};
use slipway_test_engine::{SHELL, docker, shell_image};
use slipway_testkit::processes::Process;
use zip::ZipArchive;

use super::{Yard, artifacts, one_job};
use crate::farm::{finished, trace_of};

/// Two runners, of which each takes only what is meant for it.
fn two_runners(yard: &Yard) -> [Process; 2] {
    ["one", "two"].map(|name| {
        yard.farm
            .runner_registered(name, &["--tags", name], &["--concurrency", "2"])
    })
}

/// Two images of which the second is built from the first, `command` in the second, and a job
/// after that. Each job is for another runner than the one before it.
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

/// A commit with the sources of both images and what is done with them; gives the word that is in
/// them.
fn commit(yard: &Yard, command: &str) -> String {
    // What no engine has built before.
    let word = yard.repository.rsplit('/').next().unwrap_or_default();
    let base = format!("{SHELL}RUN echo base {word} >/base\n");
    let app = "ARG BASE\nFROM $BASE\nRUN echo app of $(cat /base) >/app\n";
    let jobs = two_images_and_a_check(command);
    let files = [
        (".slipway.yml", jobs.as_str()),
        ("Dockerfile.base", base.as_str()),
        ("Dockerfile", app),
        ("README", "read me\n"),
    ];
    yard.repo.commit(&files, "two images");
    word.to_owned()
}

async fn traces(yard: &Yard, build: &Value) -> Vec<String> {
    let mut traces = Vec::new();
    for job in build["jobs"].as_array().unwrap() {
        traces.push(trace_of(&yard.farm, job).await);
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
async fn two_images_a_check_in_the_second_and_its_file_come_of_a_commit_on_two_runners() {
    let yard = Yard::bare().await;
    let _runners = two_runners(&yard);
    yard.read_repository().await;
    let word = commit(&yard, "test -s /base");
    let build = yard.build(json!({ "ref": "main" })).await;
    let done = finished(&yard.farm, &build).await;
    let traces = traces(&yard, &done).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{traces:#?}");
    // The runners had different ones of them.
    let runner = |job: usize| done["jobs"][job]["runner"].clone();
    assert!(runner(0).is_i64() && runner(0) != runner(1), "{done:#}");
    assert_eq!((runner(2), runner(3)), (runner(0), runner(1)));
    // The second image is what was built from the first, by its digest; so is the container.
    let mut digests = Vec::new();
    for job in [0, 1] {
        let made = artifacts(&yard.farm, done["jobs"][job]["id"].as_i64().unwrap()).await;
        digests.push(made[0]["digest"].as_str().unwrap().to_owned());
    }
    assert!(traces[1].contains(&digests[0]), "{}", traces[1]);
    let pulled = format!("Pulling {}/app@{}\n", yard.repository, digests[1]);
    assert!(traces[2].contains(&pulled), "{}", traces[2]);
    let said = format!("base {word}\napp of base {word}\nread me\n");
    assert!(traces[2].contains(&said), "{}", traces[2]);
    assert!(traces[3].contains(&said), "{}", traces[3]);
    let made = artifacts(&yard.farm, done["jobs"][2]["id"].as_i64().unwrap()).await;
    let path = format!("/v1/artifacts/{}/content", made[0]["id"]);
    let mut zip = ZipArchive::new(Cursor::new(yard.farm.bytes(&path).await)).unwrap();
    let mut text = String::new();
    let mut file = zip.by_name("out.txt").unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, said);
    // The engine has none of the images any more.
    let left = docker(&["image", "ls", "--format", "{{.Repository}}"]);
    assert!(!left.contains(&yard.repository), "{left}");
}

#[tokio::test]
async fn a_check_that_fails_skips_what_needs_it_and_says_why() {
    let yard = Yard::bare().await;
    let _runners = two_runners(&yard);
    yard.read_repository().await;
    commit(&yard, "grep nothing /app");
    let build = yard.build(json!({ "ref": "main" })).await;
    let done = finished(&yard.farm, &build).await;
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
    let made = yard.farm.api(reqwest::Method::GET, &path, None).await;
    assert_eq!(made["items"], json!([]));
    // An image that cannot be built skips everything else.
    yard.repo.commit(
        &[("Dockerfile.base", "FROM scratch\nCOPY none /\n")],
        "broken",
    );
    let build = yard.build(json!({ "ref": "main" })).await;
    let done = finished(&yard.farm, &build).await;
    let told = [
        ("base", "failed"),
        ("app", "skipped"),
        ("check", "skipped"),
        ("after", "skipped"),
    ];
    assert_eq!(states(&done), told, "{done:#}");
}

#[tokio::test]
async fn a_job_goes_on_on_another_runner_where_a_kept_container_ended() {
    let yard = Yard::bare().await;
    let _runners = two_runners(&yard);
    let kept = format!("{}/kept:1", yard.repository);
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
    yard.pipeline(json!([first, second])).await;
    yard.repo.commit(&[("README", "read me\n")], "one");
    let build = yard.build(json!({ "ref": "main" })).await;
    let done = finished(&yard.farm, &build).await;
    let traces = traces(&yard, &done).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{traces:#?}");
    let said = "$ pwd\n/slipway/work\n$ cat README work /else\nread me\nhalf\noutside\n";
    assert!(traces[1].contains(said), "{}", traces[1]);
    let made = artifacts(&yard.farm, done["jobs"][0]["id"].as_i64().unwrap()).await;
    assert_eq!(made[0]["reference"], kept.as_str(), "{made:#?}");
    let left = docker(&["image", "ls", "--format", "{{.Repository}}"]);
    assert!(!left.contains(&yard.repository), "{left}");
}

#[tokio::test]
async fn an_image_is_a_source_of_layers_for_another_job() {
    let yard = Yard::bare().await;
    let _runners = two_runners(&yard);
    let mut first = one_job("first", json!({"kind": "image_build"}));
    first["tags"] = json!(["one"]);
    let mut second = one_job(
        "second",
        json!({"kind": "image_build", "cache_of": "first"}),
    );
    second["tags"] = json!(["two"]);
    second["needs"] = json!(["first"]);
    yard.pipeline(json!([first, second])).await;
    yard.repo.commit(&[("Dockerfile", SHELL)], "one");
    let build = yard.build(json!({ "ref": "main" })).await;
    let done = finished(&yard.farm, &build).await;
    let traces = traces(&yard, &done).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{traces:#?}");
    // The first says how it was made, or there would be nothing to take.
    assert!(traces[0].contains("exporting cache"), "{}", traces[0]);
    let made = artifacts(&yard.farm, done["jobs"][0]["id"].as_i64().unwrap()).await;
    let digest = made[0]["digest"].as_str().unwrap();
    let fetched = format!(
        "importing cache manifest from {}/first@{digest}",
        yard.repository
    );
    assert!(traces[1].contains(&fetched), "{}", traces[1]);
    assert!(!traces[1].contains("No layers reused"), "{}", traces[1]);
    assert!(!traces[1].contains("exporting cache"), "{}", traces[1]);
}

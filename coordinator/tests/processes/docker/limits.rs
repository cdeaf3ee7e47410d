//! Limits of jobs, and cleanup after a killed runner.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use slipway_test_engine::{SHELL, docker, shell_image};
use slipway_testkit::processes::Process;
use slipway_testkit::{wait_for, wait_until};

use super::{Fixture, one_job, sleeps};
use crate::farm::{LIMIT, show, trace_of, wait_until_finished};

fn script(commands: &[&str]) -> Value {
    one_job(
        "test",
        json!({"kind": "script", "image": shell_image(), "commands": commands}),
    )
}

#[tokio::test]
async fn script_over_the_memory_limit_fails_with_the_limit() {
    let fixture = Fixture::bare().await;
    let _runner = fixture
        .farm
        .runner_with("runner", &["--job-memory-mb", "64", "--job-cpus", "0.5"]);
    let greedy = "dd if=/dev/zero of=/dev/null bs=256M count=1";
    fixture
        .set_pipeline(json!([script(&["echo begun", greedy])]))
        .await;
    fixture.repo.commit(&[("README", "x")], "one");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let done = wait_until_finished(&fixture.farm, &build).await;
    let job = &done["jobs"][0];
    assert_eq!(job["failure_reason"], "job_failed", "{done:#}");
    let message = job["failure_message"].as_str().unwrap();
    assert!(
        message.contains("more than the 64 MiB of memory"),
        "{message}"
    );
    assert!(message.contains(greedy), "{message}");
}

#[tokio::test]
async fn script_over_the_disk_limit_is_stopped_with_the_limit() {
    let fixture = Fixture::bare().await;
    let flags = [
        "--job-disk-mb",
        "8",
        "--job-memory-mb",
        "64",
        "--job-cpus",
        "0.5",
    ];
    let _runner = fixture.farm.runner_with("runner", &flags);
    let seconds = 300_000 + std::process::id();
    let sleep = format!("sleep {seconds}");
    let fill = "dd if=/dev/zero of=big bs=1M count=32";
    fixture.set_pipeline(json!([script(&[fill, &sleep])])).await;
    fixture.repo.commit(&[("README", "x")], "one");
    let build = fixture.build(json!({ "ref": "main" })).await;
    wait_until(LIMIT, "the command runs", || async { sleeps(seconds) }).await;
    let first = show(&fixture.farm, &build).await["jobs"][0].clone();
    let container = docker(&[
        "ps",
        "-q",
        "--filter",
        &format!("label=io.slipway.job={}", first["id"]),
    ]);
    // Another farm on this engine may have a job with the same id.
    let bounded = container.lines().any(|id| {
        let format = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}";
        docker(&["inspect", "--format", format, id]) == "67108864 67108864 500000000"
    });
    assert!(bounded, "{container}");
    let job = wait_for(LIMIT, "the job is stopped", || async {
        let job = show(&fixture.farm, &build).await["jobs"][0].clone();
        (job["state"] == "failed").then_some(job)
    })
    .await;
    assert_eq!(job["failure_reason"], "disk_full", "{job:#}");
    let message = job["failure_message"].as_str().unwrap();
    assert!(message.contains("more than the 8 MiB of disk"), "{message}");
}

#[tokio::test]
async fn checkout_over_the_disk_limit_fails_with_the_limit() {
    let fixture = Fixture::bare().await;
    let _runner = fixture.farm.runner_with("runner", &["--job-disk-mb", "4"]);
    std::fs::write(fixture.repo.work_tree().join("large"), vec![b'x'; 8 << 20]).unwrap();
    fixture.repo.commit(&[("Dockerfile", SHELL)], "one");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let job = wait_for(LIMIT, "the job has failed", || async {
        let job = show(&fixture.farm, &build).await["jobs"][0].clone();
        (job["state"] == "failed").then_some(job)
    })
    .await;
    assert_eq!(job["failure_reason"], "disk_full", "{job:#}");
    let message = job["failure_message"].as_str().unwrap();
    assert!(message.contains("more than the 4 MiB of disk"), "{message}");
}

/// Restarts a killed runner with the same configuration and work directory.
fn restart_runner(fixture: &Fixture) -> Process {
    let dir = fixture.farm_dir.dir.path();
    let (config, work) = (dir.join("runner.toml"), dir.join("runner.work"));
    let (config, work) = (config.to_str().unwrap(), work.to_str().unwrap());
    let local = ["--local-images", "slipway-test/*"];
    let arguments = [&["run", "--config", config, "--work-dir", work], &local[..]].concat();
    Process::start("slipway-runner", &arguments, &dir.join("again.log"))
}

#[tokio::test]
async fn restarted_runner_deletes_what_its_predecessor_left() {
    let fixture = Fixture::bare().await;
    let runner = fixture.farm.runner_with("runner", &["--concurrency", "2"]);
    let (step, command) = (400_000 + std::process::id(), 500_000 + std::process::id());
    let image = one_job("image", json!({"kind": "image_build"}));
    fixture
        .set_pipeline(json!([image, script(&[&format!("sleep {command}")])]))
        .await;
    let dockerfile = format!("{SHELL}RUN exec sleep {step}\n");
    fixture
        .repo
        .commit(&[("Dockerfile", &dockerfile)], "sleeps");
    let build = fixture.build(json!({ "ref": "main" })).await;
    wait_until(LIMIT, "both jobs run", || async {
        sleeps(step) && sleeps(command)
    })
    .await;
    runner.kill();
    // The engine stops a build whose connection closed, but a container keeps running.
    wait_until(LIMIT, "the step has ended", || async { !sleeps(step) }).await;
    assert!(sleeps(command));
    // Another attempt would start the same sleep.
    let path = format!("/v1/builds/{build}/cancel");
    fixture.farm.api(Method::POST, &path, None).await;
    let left = fixture.farm_dir.dir.path().join("runner.work/jobs");
    assert_ne!(std::fs::read_dir(&left).unwrap().count(), 0);
    let runner = restart_runner(&fixture);
    wait_until(
        Duration::from_secs(20),
        "the container is deleted",
        || async { !sleeps(command) },
    )
    .await;
    assert_eq!(std::fs::read_dir(&left).unwrap().count(), 0);
    let name =
        std::fs::read_to_string(fixture.farm_dir.dir.path().join("runner.work/instance")).unwrap();
    let label = format!("label=io.slipway.runner={}", name.trim());
    wait_until(LIMIT, "the engine has nothing of the job", || async {
        docker(&["ps", "-aq", "--filter", &label]).is_empty()
            && docker(&["images", "-aq", "--filter", &label]).is_empty()
    })
    .await;
    // The runner builds again.
    fixture
        .set_pipeline(json!([one_job("image", json!({"kind": "image_build"}))]))
        .await;
    fixture.repo.commit(&[("Dockerfile", SHELL)], "builds");
    let next = fixture.build(json!({ "ref": "main" })).await;
    let done = wait_until_finished(&fixture.farm, &next).await;
    let trace = trace_of(&fixture.farm, &done["jobs"][0]).await;
    assert_eq!(done["state"], "succeeded", "{trace}\n{}", runner.log());
}

//! What a job may use of its host, and what is left when a runner is killed.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use slipway_test_engine::{SHELL, docker, shell_image};
use slipway_testkit::processes::Process;
use slipway_testkit::{wait_for, wait_until};

use super::{Yard, one_job, sleeps};
use crate::farm::{LIMIT, finished, show, trace_of};

fn script(commands: &[&str]) -> Value {
    one_job(
        "test",
        json!({"kind": "script", "image": shell_image(), "commands": commands}),
    )
}

#[tokio::test]
async fn a_script_over_its_memory_is_told_its_limit() {
    let yard = Yard::bare().await;
    let _runner = yard
        .farm
        .runner_with("runner", &["--job-memory-mb", "64", "--job-cpus", "0.5"]);
    let greedy = "dd if=/dev/zero of=/dev/null bs=256M count=1";
    yard.pipeline(json!([script(&["echo begun", greedy])]))
        .await;
    yard.repo.commit(&[("README", "x")], "one");
    let build = yard.build(json!({ "ref": "main" })).await;
    let done = finished(&yard.farm, &build).await;
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
async fn a_script_over_its_disk_is_stopped_and_told_its_limit() {
    let yard = Yard::bare().await;
    let flags = [
        "--job-disk-mb",
        "8",
        "--job-memory-mb",
        "64",
        "--job-cpus",
        "0.5",
    ];
    let _runner = yard.farm.runner_with("runner", &flags);
    let seconds = 300_000 + std::process::id();
    let sleep = format!("sleep {seconds}");
    let fill = "dd if=/dev/zero of=big bs=1M count=32";
    yard.pipeline(json!([script(&[fill, &sleep])])).await;
    yard.repo.commit(&[("README", "x")], "one");
    let build = yard.build(json!({ "ref": "main" })).await;
    wait_until(LIMIT, "the command runs", || async { sleeps(seconds) }).await;
    let first = show(&yard.farm, &build).await["jobs"][0].clone();
    let container = docker(&[
        "ps",
        "-q",
        "--filter",
        &format!("label=io.slipway.job={}", first["id"]),
    ]);
    // Another farm on this engine may have a job of that number.
    let bounded = container.lines().any(|id| {
        let format = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}";
        docker(&["inspect", "--format", format, id]) == "67108864 67108864 500000000"
    });
    assert!(bounded, "{container}");
    let job = wait_for(LIMIT, "the job is stopped", || async {
        let job = show(&yard.farm, &build).await["jobs"][0].clone();
        (job["state"] == "failed").then_some(job)
    })
    .await;
    assert_eq!(job["failure_reason"], "disk_full", "{job:#}");
    let message = job["failure_message"].as_str().unwrap();
    assert!(message.contains("more than the 8 MiB of disk"), "{message}");
}

#[tokio::test]
async fn a_checkout_over_the_disk_of_a_job_is_told_the_limit() {
    let yard = Yard::bare().await;
    let _runner = yard.farm.runner_with("runner", &["--job-disk-mb", "4"]);
    std::fs::write(yard.repo.work_tree().join("large"), vec![b'x'; 8 << 20]).unwrap();
    yard.repo.commit(&[("Dockerfile", SHELL)], "one");
    let build = yard.build(json!({ "ref": "main" })).await;
    let job = wait_for(LIMIT, "the job has failed", || async {
        let job = show(&yard.farm, &build).await["jobs"][0].clone();
        (job["state"] == "failed").then_some(job)
    })
    .await;
    assert_eq!(job["failure_reason"], "disk_full", "{job:#}");
    let message = job["failure_message"].as_str().unwrap();
    assert!(message.contains("more than the 4 MiB of disk"), "{message}");
}

/// Starts a runner again that was killed, with the configuration and the directory that it had.
fn again(yard: &Yard) -> Process {
    let dir = yard.place.dir.path();
    let (config, work) = (dir.join("runner.toml"), dir.join("runner.work"));
    let (config, work) = (config.to_str().unwrap(), work.to_str().unwrap());
    let arguments = ["run", "--config", config, "--work-dir", work];
    Process::start("slipway-runner", &arguments, &dir.join("again.log"))
}

#[tokio::test]
async fn what_a_killed_runner_was_at_is_gone_when_it_is_back() {
    let yard = Yard::bare().await;
    let runner = yard.farm.runner_with("runner", &["--concurrency", "2"]);
    let (step, command) = (400_000 + std::process::id(), 500_000 + std::process::id());
    let image = one_job("image", json!({"kind": "image_build"}));
    yard.pipeline(json!([image, script(&[&format!("sleep {command}")])]))
        .await;
    let dockerfile = format!("{SHELL}RUN exec sleep {step}\n");
    yard.repo.commit(&[("Dockerfile", &dockerfile)], "sleeps");
    let build = yard.build(json!({ "ref": "main" })).await;
    wait_until(LIMIT, "both run", || async {
        sleeps(step) && sleeps(command)
    })
    .await;
    runner.kill();
    // The engine stops a build whose connection is gone; a container goes on.
    wait_until(LIMIT, "the step is gone", || async { !sleeps(step) }).await;
    assert!(sleeps(command));
    // Another attempt would begin with the same sleep.
    let path = format!("/v1/builds/{build}/cancel");
    yard.farm.api(Method::POST, &path, None).await;
    let left = yard.place.dir.path().join("runner.work/jobs");
    assert_ne!(std::fs::read_dir(&left).unwrap().count(), 0);
    let runner = again(&yard);
    wait_until(Duration::from_secs(20), "the container is gone", || async {
        !sleeps(command)
    })
    .await;
    assert_eq!(std::fs::read_dir(&left).unwrap().count(), 0);
    let name = std::fs::read_to_string(yard.place.dir.path().join("runner.work/instance")).unwrap();
    let label = format!("label=io.slipway.runner={}", name.trim());
    wait_until(LIMIT, "nothing of it is in the engine", || async {
        docker(&["ps", "-aq", "--filter", &label]).is_empty()
            && docker(&["images", "-aq", "--filter", &label]).is_empty()
    })
    .await;
    // It is at work again.
    yard.pipeline(json!([one_job("image", json!({"kind": "image_build"}))]))
        .await;
    yard.repo.commit(&[("Dockerfile", SHELL)], "builds");
    let next = yard.build(json!({ "ref": "main" })).await;
    let done = finished(&yard.farm, &next).await;
    let trace = trace_of(&yard.farm, &done["jobs"][0]).await;
    assert_eq!(done["state"], "succeeded", "{trace}\n{}", runner.log());
}

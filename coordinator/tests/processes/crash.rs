//! Crashes of the coordinator and of runners, and many runners at once. Runners use the scripted executor.

use std::collections::BTreeMap;
use std::path::Path;

use reqwest::Method;
use serde_json::json;
use slipway_testkit::processes::{CoordinatorProcess, Process};
use slipway_testkit::{Backend, on_both_back_ends, wait_for, wait_until};

use crate::farm::{FarmDir, LIMIT, build, project, show, trace_of, wait_until_finished};

on_both_back_ends!(
    build_survives_a_coordinator_crash_with_its_whole_trace,
    job_of_a_killed_runner_is_retried_by_another,
    every_job_runs_exactly_once,
);

fn lines(range: std::ops::RangeInclusive<u32>) -> String {
    range.map(|number| format!("line {number:06}\n")).collect()
}

/// The output of the scripted executor, without the runner's own lines.
fn script_of(trace: &str) -> String {
    trace
        .split_inclusive('\n')
        .filter(|line| line.starts_with("line "))
        .collect()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn build_survives_a_coordinator_crash_with_its_whole_trace(backend: Backend) {
    let farm_dir = FarmDir::new(backend).await;
    let mut farm = farm_dir.coordinator("only", &[]).await;
    let gate = farm_dir.dir.path().join("gate");
    let script = [
        ("SCRIPT_LINES", "20000"),
        ("SCRIPT_WAIT_FILE", path(&gate)),
        ("SCRIPT_LINES_AFTER", "20000"),
    ];
    project(&farm, &script).await;
    let runner = farm.runner("runner", 1);
    let build = build(&farm).await;
    let job = wait_for(LIMIT, "half of the trace is stored", || async {
        let job = show(&farm, &build).await["jobs"][0].clone();
        trace_of(&farm, &job)
            .await
            .contains("line 020000\n")
            .then_some(job)
    })
    .await;
    farm.kill();
    // The runner continues without the coordinator and writes the other half.
    std::fs::write(&gate, "").unwrap();
    let spools = farm_dir.dir.path().join("runner.work");
    wait_until(
        LIMIT,
        "the runner has the whole trace on its disk",
        || async { contains_bytes(&spools, b"line 040000\n") },
    )
    .await;
    farm.start_again().await;
    let done = wait_until_finished(&farm, &build).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{}", runner.log());
    assert_eq!(
        done["jobs"].as_array().unwrap().len(),
        1,
        "there is more than one attempt: {done:#}"
    );
    assert_eq!(script_of(&trace_of(&farm, &job).await), lines(1..=40_000));
}

/// Whether a file below `folder` contains `needle`.
fn contains_bytes(folder: &Path, needle: &[u8]) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return contains_bytes(&path, needle);
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

async fn job_of_a_killed_runner_is_retried_by_another(backend: Backend) {
    let farm_dir = FarmDir::new(backend).await;
    let farm = farm_dir.coordinator("only", &["--lease-s", "3"]).await;
    let gate = farm_dir.dir.path().join("gate");
    project(
        &farm,
        &[("SCRIPT_LINES", "10"), ("SCRIPT_WAIT_FILE", path(&gate))],
    )
    .await;
    let mut runners: BTreeMap<String, Process> = ["one", "two"]
        .into_iter()
        .map(|name| (name.to_owned(), farm.runner(name, 1)))
        .collect();
    let build = build(&farm).await;
    let holder = wait_for(LIMIT, "a runner has the job", || async {
        let id = show(&farm, &build).await["jobs"][0]["runner"].as_i64()?;
        let runner = farm
            .api(Method::GET, &format!("/v1/runners/{id}"), None)
            .await;
        Some(runner["description"].as_str().unwrap().to_owned())
    })
    .await;
    runners.remove(&holder).unwrap().kill();
    let second = wait_for(LIMIT, "the next attempt is running", || async {
        let jobs = show(&farm, &build).await["jobs"].clone();
        (jobs[1]["state"] == "running").then_some(jobs)
    })
    .await;
    assert_eq!(second[0]["state"], "failed", "{second:#}");
    assert_eq!(second[0]["failure_reason"], "runner_lost", "{second:#}");
    assert_eq!(
        (&second[1]["attempt"], &second[1]["retries"]),
        (&json!(2), &second[0]["id"])
    );
    assert_ne!(second[0]["runner"], second[1]["runner"]);
    std::fs::write(&gate, "").unwrap();
    let done = wait_until_finished(&farm, &build).await;
    assert_eq!(done["state"], "succeeded", "{done:#}");
    assert_eq!(done["jobs"].as_array().unwrap().len(), 2, "{done:#}");
    assert_eq!(
        script_of(&trace_of(&farm, &done["jobs"][1]).await),
        lines(1..=10)
    );
}

/// Runs 200 jobs on 8 runners; on PostgreSQL with two coordinators.
async fn every_job_runs_exactly_once(backend: Backend) {
    let farm_dir = FarmDir::new(backend).await;
    let first = farm_dir.coordinator("first", &[]).await;
    let second = match backend {
        Backend::Sqlite => None,
        Backend::Postgres => Some(farm_dir.coordinator("second", &[]).await),
    };
    project(&first, &[("SCRIPT_LINES", "3")]).await;
    let farms: Vec<&CoordinatorProcess> = [Some(&first), second.as_ref()]
        .into_iter()
        .flatten()
        .collect();
    let at = |index: usize| farms[index % farms.len()];
    let runners: Vec<Process> = (0..8)
        .map(|index| at(index).runner(&format!("runner-{index}"), 2))
        .collect();
    let mut builds = Vec::new();
    for index in 0..200 {
        builds.push(build(at(index)).await);
    }
    let mut jobs = Vec::new();
    for (index, build) in builds.iter().enumerate() {
        let done = wait_until_finished(at(index + 1), build).await;
        assert_eq!(done["state"], "succeeded", "{done:#}");
        assert_eq!(done["jobs"].as_array().unwrap().len(), 1, "{done:#}");
        assert_eq!(
            script_of(&trace_of(&first, &done["jobs"][0]).await),
            lines(1..=3)
        );
        jobs.push(done["jobs"][0]["id"].as_i64().unwrap());
    }
    let logs: String = runners.iter().map(Process::log).collect();
    for job in jobs {
        let claims = logs.matches(&format!("Job {job} is claimed")).count();
        assert_eq!(claims, 1, "job {job} was claimed {claims} times");
    }
}

//! Scripts in containers of a real engine: coordinator and runner as processes.

use std::io::{Cursor, Read as _};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use slipway_test_engine::{SHELL, remove_image, shell_image};
use slipway_testkit::{wait_for, wait_until};
use zip::ZipArchive;

use super::{Fixture, artifacts, one_job, sleeps, workspaces};
use crate::farm::{LIMIT, show, trace_of, wait_until_finished};

#[tokio::test]
async fn artifacts_reach_the_next_job_and_secrets_are_masked() {
    let fixture = Fixture::new().await;
    let secret = json!({"value": "hunter2-and-more", "public": false});
    fixture
        .farm
        .api(
            Method::PUT,
            "/v1/projects/acme/api/variables/PASSWORD",
            Some(secret),
        )
        .await;
    let first = one_job(
        "first",
        json!({
            "kind": "script", "image": shell_image(), "variables": {"WHO": "the first"},
            "commands": ["mkdir out", "echo \"$WHO knows $PASSWORD\" | tee out/text"],
            "artifacts": {"paths": ["out", "nothing/*"], "name": "result", "expire_in": "2 days"},
        }),
    );
    let mut second = one_job(
        "second",
        json!({"kind": "script", "image": shell_image(), "commands": ["wc -c <out/text", "cat README"]}),
    );
    second["needs"] = json!(["first"]);
    fixture.set_pipeline(json!([first, second])).await;
    fixture.repo.commit(&[("README", "read me\n")], "one");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let done = wait_until_finished(&fixture.farm, &build).await;
    let mut traces = Vec::new();
    for job in done["jobs"].as_array().unwrap() {
        traces.push(trace_of(&fixture.farm, job).await);
    }
    assert_eq!(done["state"], "succeeded", "{done:#}\n{traces:#?}");
    assert!(
        traces[0].contains("the first knows [MASKED]\n"),
        "{}",
        traces[0]
    );
    assert!(
        traces[0].contains("nothing/* matches nothing"),
        "{}",
        traces[0]
    );
    assert!(!traces.concat().contains("hunter2"), "{traces:#?}");
    assert!(
        traces[1].contains("$ wc -c <out/text\n33\n"),
        "{}",
        traces[1]
    );
    assert!(
        traces[1].contains("$ cat README\nread me\n"),
        "{}",
        traces[1]
    );
    let made = artifacts(&fixture.farm, done["jobs"][0]["id"].as_i64().unwrap()).await;
    assert_eq!(made.len(), 1, "{made:#?}");
    assert_eq!(made[0]["filename"], "result.zip");
    assert!(made[0]["expires_at"].is_string(), "{made:#?}");
    // Only the trace is masked, not the files.
    let path = format!("/v1/artifacts/{}/content", made[0]["id"]);
    let mut zip = ZipArchive::new(Cursor::new(fixture.farm.bytes(&path).await)).unwrap();
    let mut text = String::new();
    zip.by_name("out/text")
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "the first knows hunter2-and-more\n");
}

#[tokio::test]
async fn script_runs_in_an_image_built_by_an_earlier_job() {
    let fixture = Fixture::new().await;
    let built = format!("{}:main", fixture.repository);
    let mut script = one_job(
        "test",
        json!({"kind": "script", "image": built, "commands": ["cat /greeting"]}),
    );
    script["needs"] = json!(["image"]);
    fixture
        .set_pipeline(json!([
            one_job("image", json!({"kind": "image_build"})),
            script
        ]))
        .await;
    let dockerfile = format!("{SHELL}RUN echo hello > /greeting\n");
    fixture.repo.commit(&[("Dockerfile", &dockerfile)], "one");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let done = wait_until_finished(&fixture.farm, &build).await;
    let trace = trace_of(&fixture.farm, &done["jobs"][1]).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{trace}");
    // The engine no longer has the image; pulling it requires a login.
    assert!(trace.contains(&format!("Pulling {built}\n")), "{trace}");
    assert!(trace.contains("$ cat /greeting\nhello\n"), "{trace}");
    remove_image(&built);
}

#[tokio::test]
async fn failing_command_fails_the_build_and_keeps_its_artifacts() {
    let fixture = Fixture::new().await;
    let failing = one_job(
        "test",
        json!({
            "kind": "script", "image": shell_image(),
            "commands": ["echo broken >report", "exit 4", "echo never"],
            "artifacts": {"paths": ["report"], "when": "on_failure"},
        }),
    );
    let mut after = one_job("image", json!({"kind": "image_build"}));
    after["needs"] = json!(["test"]);
    fixture.set_pipeline(json!([failing, after])).await;
    fixture.repo.commit(&[("README", "x")], "one");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let done = wait_until_finished(&fixture.farm, &build).await;
    assert_eq!(done["state"], "failed", "{done:#}");
    let job = &done["jobs"][0];
    assert_eq!(job["failure_reason"], "job_failed", "{done:#}");
    assert_eq!(job["failure_message"], "the command `exit 4` exited with 4");
    assert_eq!(done["jobs"][1]["state"], "skipped", "{done:#}");
    let trace = trace_of(&fixture.farm, job).await;
    assert!(!trace.contains("never"), "{trace}");
    let made = artifacts(&fixture.farm, job["id"].as_i64().unwrap()).await;
    assert_eq!(made[0]["filename"], "artifacts.zip", "{made:#?}");
}

/// Runs alone because it asserts a bound of two seconds; see `.config/nextest.toml`.
mod timing {
    #[tokio::test]
    async fn cancel_ends_the_running_script_within_two_seconds() {
        super::cancel_ends_the_running_script().await;
    }
}

async fn cancel_ends_the_running_script() {
    let fixture = Fixture::new().await;
    // A duration that no other sleep on the machine has.
    let seconds = 200_000 + std::process::id();
    let spec = json!({
        "kind": "script", "image": shell_image(), "commands": [format!("sleep {seconds}")],
    });
    fixture.set_pipeline(json!([one_job("test", spec)])).await;
    fixture.repo.commit(&[("README", "x")], "one");
    let build = fixture.build(json!({ "ref": "main" })).await;
    wait_until(LIMIT, "the command runs", || async { sleeps(seconds) }).await;
    let path = format!("/v1/builds/{build}/cancel");
    fixture.farm.api(Method::POST, &path, None).await;
    wait_until(Duration::from_secs(2), "the command has ended", || async {
        !sleeps(seconds)
    })
    .await;
    assert_eq!(show(&fixture.farm, &build).await["state"], "canceled");
    let work = fixture.farm_dir.dir.path().join("runner.work/jobs");
    wait_for(LIMIT, "no workspace is left", || async {
        workspaces(&work).is_empty().then_some(())
    })
    .await;
}

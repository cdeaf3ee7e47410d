//! A job run with the published Rust client library for this protocol. The library is stricter than
//! gitlab-runner about missing members.
//!
//! See `docs/protocols/runner-v4.md#job-payload`.

use serde_json::json;
use slipway_farm::Content;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};
use tokio::process::Command;

use crate::client::{RunnerApi, definition};

on_both_back_ends!(job_succeeds_with_the_published_client_library,);

async fn job_succeeds_with_the_published_client_library(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let jobs = json!([{"name": "test", "spec": {
        "kind": "script", "commands": ["echo \"grün on $CI_JOB_NAME\""],
        "artifacts": {"paths": ["out/*"], "name": "files"},
    }}]);
    let build = farm.build_defined(&project, definition(jobs)).await;
    let runner = RunnerApi::new(&farm).create_runner(&farm).await;
    let program = std::env::var("SLIPWAY_TEST_PUBLISHED_RUNNER").unwrap();
    let mut command = Command::new(program);
    let output = command.args([&farm.url("/"), &runner.token]).output().await;
    let output = output.unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");
    assert_eq!(
        farm.build_now(&build).await.state.as_str(),
        "succeeded",
        "{log}"
    );
    let job = farm.jobs(&build).await[0].id;
    let trace = String::from_utf8(farm.trace(job).await).unwrap();
    assert!(trace.contains("grün on test"), "{trace}");
    let artifacts = farm.artifacts(job).await;
    let [file] = artifacts.as_slice() else {
        panic!("{artifacts:?}");
    };
    assert!(matches!(file.content, Content::Archive { .. }), "{file:?}");
    let managers = farm.farm().managers_of(&farm.runners().await[0]).await;
    assert_eq!(managers.unwrap()[0].system_id, "r_published");
}

//! A runner made with the published client library for this protocol runs a job to its end.

use serde_json::json;
use slipway_farm::Content;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};
use tokio::process::Command;

use crate::client::{RunnerApi, definition};

on_both_back_ends!(a_runner_of_the_published_library_runs_a_job_to_its_end);

async fn a_runner_of_the_published_library_runs_a_job_to_its_end(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let jobs = json!([{"name": "test", "spec": {
        "kind": "script", "commands": ["echo \"grün on $CI_JOB_NAME\""],
        "artifacts": {"paths": ["out/*"], "name": "left"},
    }}]);
    let build = farm.build_defined(&project, definition(jobs)).await;
    let runner = RunnerApi::new(&farm).create_runner(&farm).await;
    let program = std::env::var("SLIPWAY_TEST_PUBLISHED_RUNNER").unwrap();
    let mut command = Command::new(program);
    let ran = command.args([&farm.url("/"), &runner.token]).output().await;
    let ran = ran.unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{said}");
    assert_eq!(
        farm.build_now(&build).await.state.as_str(),
        "succeeded",
        "{said}"
    );
    let job = farm.jobs(&build).await[0].id;
    let trace = String::from_utf8(farm.trace(job).await).unwrap();
    assert!(trace.contains("grün on test"), "{trace}");
    let made = farm.artifacts(job).await;
    let [file] = made.as_slice() else {
        panic!("{made:?}");
    };
    assert!(matches!(file.content, Content::Archive { .. }), "{file:?}");
    let known = farm.farm().managers_of(&farm.runners().await[0]).await;
    assert_eq!(known.unwrap()[0].system_id, "r_published");
}

//! The OpenAPI document against the real responses: Schemathesis generates requests from it.
//!
//! See `docs/protocols/harmont.md#openapi-document`.

use std::fmt::Write as _;

use slipway_testkit::{Backend, on_both_back_ends};
use tokio::process::Command;

use crate::fixture::{BUILDS, Fixture, two_steps};

on_both_back_ends!(schemathesis_finds_no_response_that_violates_the_document,);

/// The number of generated requests for each operation.
const EXAMPLES: &str = "50";

/// The configuration of Schemathesis: path parameters that name existing objects, because the document
/// has no links between operations, and the one check that is disabled for the operations that create
/// builds.
fn settings(job: &str) -> String {
    let mut settings = "[parameters]\n".to_owned();
    for (name, value) in [
        ("org", "\"acme\""),
        ("pipeline", "\"web\""),
        ("number", "1"),
        ("job_id", &format!("\"{job}\"")),
    ] {
        writeln!(settings, "\"path.{name}\" = {value}").unwrap();
    }
    settings.push_str(
        "
# In the document, a graph and an archive are any string, and most strings are invalid.
[[operations]]
include-operation-id = [\"createBuild\", \"createBuildBySource\"]
checks.positive_data_acceptance.enabled = false
",
    );
    settings
}

async fn schemathesis_finds_no_response_that_violates_the_document(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture.create_source_pipeline().await;
    let number = fixture.create_build(&two_steps()).await;
    assert_eq!(number, 1);
    let job = fixture.jobs(number).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("schemathesis.toml");
    std::fs::write(&path, settings(&job)).unwrap();
    let python = std::env::var("SLIPWAY_TEST_PYTHON").unwrap();
    let mut command = Command::new(python);
    command
        .args(["-m", "schemathesis.cli", "--no-color", "--config-file"])
        .arg(&path)
        .arg("run")
        .arg(fixture.farm.url("/api/v0/openapi.json"))
        .args(["--include-tag", "builds", "--include-tag", "jobs"])
        .args(["--max-examples", EXAMPLES, "--seed", "1"])
        .args(["--generation-database", "none"])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--continue-on-failure", "--no-shrink"])
        .arg("--header")
        .arg(format!("Authorization: Bearer {}", fixture.member.token))
        .current_dir(&files)
        .kill_on_drop(true);
    let ran = command.output().await.unwrap();
    let output = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{output}{errors}");
    // Both operations also created builds; otherwise only errors would have been compared.
    assert!(output.contains("8 selected"), "{output}");
    assert!(fixture.count_builds().await > 1, "{output}");
    let list = BUILDS.replace("/web/", "/acme-web-ci/");
    let list = fixture.member.get(&list).await.is(200).json();
    assert!(!list["data"].as_array().unwrap().is_empty(), "{output}");
}

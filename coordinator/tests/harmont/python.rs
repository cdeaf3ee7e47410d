//! What the farm answers and what it describes are the same: Schemathesis reads the description, and
//! asks whatever it allows and much that it does not.

use std::fmt::Write as _;

use slipway_testkit::{Backend, on_both_back_ends};
use tokio::process::Command;

use crate::support::{B, World, g};

on_both_back_ends!(schemathesis_finds_no_answer_that_departs_from_the_description);

/// How many requests are made up for each operation.
const EXAMPLES: &str = "50";

/// Where the operations find something, as nothing leads from one to the next; and which check is
/// left out for which of them. All others are done.
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
# A graph and an archive are strings to the description, and most strings are neither.
[[operations]]
include-operation-id = [\"createBuild\", \"createBuildBySource\"]
checks.positive_data_acceptance.enabled = false
",
    );
    settings
}

async fn schemathesis_finds_no_answer_that_departs_from_the_description(backend: Backend) {
    let world = World::start(backend).await;
    world.of_source().await;
    let number = world.build(&g()).await;
    assert_eq!(number, 1);
    let job = world.jobs(number).await[0]["id"]
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
        .arg(world.farm.url("/api/v0/openapi.json"))
        .args(["--include-tag", "builds", "--include-tag", "jobs"])
        .args(["--max-examples", EXAMPLES, "--seed", "1"])
        .args(["--generation-database", "none"])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--continue-on-failure", "--no-shrink"])
        .arg("--header")
        .arg(format!("Authorization: Bearer {}", world.ana.token))
        .current_dir(&files)
        .kill_on_drop(true);
    let ran = command.output().await.unwrap();
    let told = String::from_utf8_lossy(&ran.stdout);
    let complaints = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{told}{complaints}");
    // It was asked for good builds as well, in both ways; else this would say little.
    assert!(told.contains("8 selected"), "{told}");
    assert!(world.count().await > 1, "{told}");
    let list = B.replace("/web/", "/acme-web-ci/");
    let list = world.ana.get(&list).await.is(200).json();
    assert!(!list["data"].as_array().unwrap().is_empty(), "{told}");
}

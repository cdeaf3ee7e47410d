//! The OpenAPI document of the native API against the real responses: Schemathesis generates requests
//! from it, valid ones and invalid ones.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use slipway_testkit::{Backend, TestFarm, on_both_back_ends};
use tokio::process::Command;

use crate::{save_document, sources};

on_both_back_ends!(schemathesis_finds_no_response_that_violates_the_document,);

/// The number of generated requests for each operation.
const EXAMPLES: &str = "4";

/// Operations that are not tried: they delete what the others use, never end, or take an archive.
const LEFT_OUT: [&str; 5] = [
    "change_password",
    "create_source",
    "delete_project",
    "revoke_own_credentials",
    "stream_trace",
];

/// Operations that refuse valid requests for what they mean: definitions and keys are texts with a
/// form of their own, an offset may be behind the end of a trace, and a token must not have expired.
const STRICTER_THAN_SCHEMAS: [&str; 10] = [
    "check_build",
    "create_build",
    "create_pipeline",
    "create_project_registration_token",
    "create_shared_registration_token",
    "create_token",
    "create_user_token",
    "get_trace",
    "put_pipeline",
    "set_deploy_key",
];

/// The configuration of Schemathesis: path parameters that name existing objects, because the document
/// has no links between operations.
fn settings(build: &str) -> String {
    let mut settings = "hooks = \"schemathesis_hooks\"\n\n[parameters]\n".to_owned();
    for (name, value) in [
        ("ns", "\"acme\""),
        ("name", "\"api\""),
        ("slug", "\"default\""),
        ("user", "\"bob\""),
        ("key", "\"WORD\""),
        ("robot", "\"ci\""),
        ("id", "1"),
        ("uuid", &format!("\"{build}\"")),
    ] {
        writeln!(settings, "\"path.{name}\" = {value}").unwrap();
    }
    write!(
        settings,
        "
# The first token is that of the requests.
[[operations]]
include-operation-id = [\"revoke_token\", \"rotate_token\"]
parameters = {{ \"path.id\" = 1000000 }}

[[operations]]
include-operation-id = {LEFT_OUT:?}
enabled = false

[[operations]]
include-operation-id = {STRICTER_THAN_SCHEMAS:?}
checks.positive_data_acceptance.enabled = false
"
    )
    .unwrap();
    settings
}

async fn schemathesis_finds_no_response_that_violates_the_document(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    farm.user("bob").await;
    let access = farm.project("acme/api").await;
    let build = farm.build(&access).await;
    let files = tempfile::tempdir().unwrap();
    let document = save_document(&farm, "/v1/openapi.json", files.path()).await;
    let path = files.path().join("schemathesis.toml");
    std::fs::write(&path, settings(&build.uuid.to_string())).unwrap();
    let mut command = Command::new(std::env::var("SLIPWAY_TEST_PYTHON").unwrap());
    command
        .args(["-m", "schemathesis.cli", "--no-color", "--config-file"])
        .arg(&path)
        .arg("run")
        .arg(farm.url("/v1/openapi.json"))
        .args(["--max-examples", EXAMPLES, "--seed", "1"])
        .args(["--generation-database", "none", "--phases", "fuzzing"])
        .args(["--continue-on-failure", "--no-shrink"])
        .arg("--header")
        .arg(format!("Authorization: Bearer {}", farm.admin_token))
        .env("PYTHONPATH", sources())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(&files)
        .kill_on_drop(true);
    let ran = command.output().await.unwrap();
    let output = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{output}{errors}");
    let operations = operations(&std::fs::read_to_string(document).unwrap());
    for left_out in LEFT_OUT.iter().chain(&STRICTER_THAN_SCHEMAS) {
        assert!(operations.contains(*left_out), "{left_out}");
    }
    let tested = operations.len() - LEFT_OUT.len();
    assert!(output.contains(&format!("Tested: {tested}\n")), "{output}");
    // The requests were made by the administrator until the end; otherwise only errors would have been
    // compared.
    assert!(!output.contains("Authentication failed"), "{output}");
}

/// The ids of all operations of a document.
fn operations(document: &str) -> BTreeSet<String> {
    let document: serde_json::Value = serde_json::from_str(document).unwrap();
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|path| path.as_object().unwrap().values());
    let ids = operations.filter_map(|operation| operation["operationId"].as_str());
    ids.map(str::to_owned).collect()
}

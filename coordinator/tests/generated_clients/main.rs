//! Clients that published generators create from the OpenAPI document of the native API. They are
//! generated into a temporary directory and used with a real farm.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod node;
mod python;
mod python_schemathesis;

use std::path::{Path, PathBuf};

use slipway_testkit::TestFarm;
use tokio::process::Command;

/// The directory with the programs that use the clients.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/generated_clients")
}

/// Writes the document that the farm serves at `path` as `document.json` into `directory`.
async fn save_document(farm: &TestFarm, path: &str, directory: &Path) -> PathBuf {
    let response = reqwest::get(farm.url(path)).await.unwrap();
    let file = directory.join("document.json");
    std::fs::write(&file, response.bytes().await.unwrap()).unwrap();
    file
}

/// Runs a command and returns its standard output.
#[track_caller]
fn succeeds(command: &mut Command) -> impl Future<Output = String> {
    command.kill_on_drop(true);
    let output = command.output();
    async move {
        let output = output.await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}{errors}");
        text
    }
}

fn base_url(farm: &TestFarm) -> String {
    farm.url("/").trim_end_matches('/').to_owned()
}

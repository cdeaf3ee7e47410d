//! A client in TypeScript.

use std::path::PathBuf;

use slipway_testkit::{Backend, TestFarm, on_both_back_ends};
use tokio::process::Command;

use crate::{base_url, save_document, sources, succeeds};

on_both_back_ends!(generated_client_creates_reads_and_cancels_a_build,);

async fn generated_client_creates_reads_and_cancels_a_build(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let token = farm.user("ana").await;
    let files = tempfile::tempdir().unwrap();
    save_document(&farm, "/v1/openapi.json", files.path()).await;
    for name in [
        "package.json",
        "openapi-ts.config.mjs",
        "tsconfig.json",
        "use_client.ts",
    ] {
        std::fs::copy(sources().join("node").join(name), files.path().join(name)).unwrap();
    }
    let installed = PathBuf::from(std::env::var("SLIPWAY_TEST_NODE").unwrap());
    let tool = |name: &str| {
        let mut tool = Command::new(installed.join("node_modules/.bin").join(name));
        tool.current_dir(&files);
        tool
    };
    succeeds(&mut tool("openapi-ts")).await;
    succeeds(tool("tsc").args(["--project", "tsconfig.json"])).await;
    let mut program = Command::new("node");
    program
        .arg("compiled/use_client.js")
        .args([&base_url(&farm), &token])
        .current_dir(&files);
    succeeds(&mut program).await;
}

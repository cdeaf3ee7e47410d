//! A published validator, and a client in Python.

use slipway_testkit::{Backend, TestFarm, on_both_back_ends};
use tokio::process::Command;

use crate::{base_url, save_document, sources, succeeds};

on_both_back_ends!(
    documents_are_valid,
    generated_client_creates_reads_and_cancels_a_build,
);

fn python() -> Command {
    Command::new(std::env::var("SLIPWAY_TEST_PYTHON").unwrap())
}

async fn documents_are_valid(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for path in [
        "/v1/openapi.json",
        "/api/v0/openapi.json",
        "/api/v1/openapi.json",
    ] {
        let files = tempfile::tempdir().unwrap();
        let document = save_document(&farm, path, files.path()).await;
        let mut validate = python();
        validate
            .args(["-m", "openapi_spec_validator"])
            .arg(document);
        let output = succeeds(&mut validate).await;
        assert!(output.contains("OK"), "{path}: {output}");
    }
}

async fn generated_client_creates_reads_and_cancels_a_build(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let token = farm.user("ana").await;
    let files = tempfile::tempdir().unwrap();
    let document = save_document(&farm, "/v1/openapi.json", files.path()).await;
    let mut generate = python();
    generate
        .args([
            "-m",
            "openapi_python_client",
            "generate",
            "--fail-on-warning",
        ])
        .args(["--meta", "none", "--config"])
        .arg(sources().join("openapi-python-client.yml"))
        .arg("--path")
        .arg(document)
        .arg("--output-path")
        .arg(files.path().join("slipway_client"))
        .current_dir(&files);
    // The generator formats with a program that is installed beside the interpreter.
    let home = std::env::var("SLIPWAY_TEST_PYTHON").unwrap();
    let programs = std::path::Path::new(&home).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(programs).chain(std::env::split_paths(&path));
    generate.env("PATH", std::env::join_paths(paths).unwrap());
    succeeds(&mut generate).await;
    let mut program = python();
    program
        .arg(sources().join("use_client.py"))
        .args([&base_url(&farm), &token])
        .env("PYTHONPATH", files.path())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    succeeds(&mut program).await;
}

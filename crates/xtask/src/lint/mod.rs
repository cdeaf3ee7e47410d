//! `cargo xtask lint`: every check that needs no running code.

mod public_docs;
mod style;
pub(crate) mod supply_chain;
mod threats;
mod tracked;

use std::process::{ExitCode, Stdio};

use anyhow::Result;
use tokio::process::Command;

use crate::steps::{Steps, cargo, run as run_command};
use crate::{python, root};

/// The spell checker. PyPI has it compiled, which saves minutes of a cold run.
const TYPOS: &str = "typos==1.52.0";

pub(crate) async fn run() -> ExitCode {
    let mut steps = Steps::default();
    format_and_clippy(&mut steps).await;
    wording(&mut steps).await;
    documentation(&mut steps).await;
    supply_chain::check(&mut steps).await;
    if steps.report().failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

pub(crate) async fn format_and_clippy(steps: &mut Steps) {
    let format = cargo(&["fmt", "--all", "--check"]);
    steps.run("format", run_command(format)).await;
    let clippy = cargo(&[
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]);
    steps.run("clippy", run_command(clippy)).await;
}

/// Checks the style guide, the doc comments of public items, the table of threats, and the spelling.
pub(crate) async fn wording(steps: &mut Steps) {
    steps.run("style", async { style::check().await }).await;
    steps
        .run("public docs", async { public_docs::check().await })
        .await;
    steps.run("threats", async { threats::check().await }).await;
    const SPELLING: &str = "spelling";
    match python::environment("typos", &[TYPOS]).await {
        Ok(home) => {
            let mut typos = Command::new(home.join("bin/typos"));
            typos.args(["--format", "brief"]).current_dir(root());
            steps.run(SPELLING, run_command(typos)).await;
        }
        Err(error) => steps.skip(SPELLING, &format!("could not install {TYPOS}: {error:#}")),
    }
}

pub(crate) async fn documentation(steps: &mut Steps) {
    let mut doc = cargo(&["doc", "--quiet", "--no-deps", "--workspace"]);
    doc.env("RUSTDOCFLAGS", "--deny warnings");
    steps.run("documentation", run_command(doc)).await;
}

/// Whether cargo has a subcommand.
pub(crate) async fn has(subcommand: &str) -> bool {
    let mut version = cargo(&[subcommand, "--version"]);
    version.stdout(Stdio::null()).stderr(Stdio::null());
    run_command(version).await.is_ok()
}

/// Prints each finding, and fails if there is one.
fn report(findings: &[String]) -> Result<()> {
    for finding in findings {
        println!("{finding}");
    }
    anyhow::ensure!(findings.is_empty(), "{} findings", findings.len());
    Ok(())
}

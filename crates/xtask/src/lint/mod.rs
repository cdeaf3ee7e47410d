//! `cargo xtask lint`: what can be said about the code without running it.

use std::process::{ExitCode, Stdio};

use crate::steps::{Steps, cargo, run as run_command};

pub(crate) async fn run() -> ExitCode {
    let mut steps = Steps::default();
    format_and_clippy(&mut steps).await;
    documentation(&mut steps).await;
    supply_chain(&mut steps).await;
    match steps.report().failed == 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

pub(crate) async fn format_and_clippy(steps: &mut Steps) {
    let format = cargo(&["fmt", "--all", "--check"]);
    steps.take("format", run_command(format)).await;
    let clippy = cargo(&[
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]);
    steps.take("clippy", run_command(clippy)).await;
}

pub(crate) async fn documentation(steps: &mut Steps) {
    let mut doc = cargo(&["doc", "--quiet", "--no-deps", "--workspace"]);
    doc.env("RUSTDOCFLAGS", "--deny warnings");
    steps.take("documentation", run_command(doc)).await;
}

/// Licences and advisories, where cargo-deny is installed: compiling it takes longer than all else.
pub(crate) async fn supply_chain(steps: &mut Steps) {
    const NAME: &str = "licences";
    if !has("deny").await {
        steps.skip(
            NAME,
            "cargo-deny is not installed; `cargo install --locked cargo-deny` takes a while",
        );
        return;
    }
    let licences = cargo(&["deny", "check", "licenses", "bans", "sources"]);
    steps.take(NAME, run_command(licences)).await;

    const ADVISORIES: &str = "advisories";
    let mut fetch = cargo(&["deny", "fetch", "db"]);
    fetch.stdout(Stdio::null()).stderr(Stdio::null());
    match run_command(fetch).await {
        Ok(()) => {
            let advisories = cargo(&["deny", "--offline", "check", "advisories"]);
            steps.take(ADVISORIES, run_command(advisories)).await;
        }
        Err(_) => steps.skip(ADVISORIES, "the database of advisories cannot be reached"),
    }
}

/// Whether cargo has a subcommand.
pub(crate) async fn has(subcommand: &str) -> bool {
    let mut asked = cargo(&[subcommand, "--version"]);
    asked.stdout(Stdio::null()).stderr(Stdio::null());
    run_command(asked).await.is_ok()
}

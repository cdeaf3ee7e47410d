//! `cargo xtask test`: every check and every test.
//!
//! The last line printed is `N passed, N failed, N skipped`, whatever happens before it.

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::counts::Counts;
use crate::process::quietly;
use crate::services::{Kind, Services};
use crate::steps::{Steps, cargo, run as run_command, watch};
use crate::{demo, lint};

/// What can be chosen about the tests.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only what needs no services: format, clippy, and tests on SQLite and directories.
    #[arg(long)]
    quick: bool,
}

pub(crate) async fn run(args: &Args) -> ExitCode {
    let mut steps = Steps::default();
    let mut counts = Counts::default();
    lint::format_and_clippy(&mut steps).await;
    lint::wording(&mut steps).await;
    if !args.quick {
        lint::documentation(&mut steps).await;
        lint::supply_chain(&mut steps).await;
    }
    let build = cargo(&["build", "--quiet", "--workspace", "--bins"]);
    steps.take("build", run_command(build)).await;

    let services = match args.quick {
        true => Services::none("--quick was asked for"),
        false => {
            let start = async { Ok(Services::start().await) };
            steps.take("services", start).await.unwrap_or_default()
        }
    };
    steps.take("tests", tests(&services, &mut counts)).await;
    if !args.quick {
        steps.take("examples in docs", examples(&mut counts)).await;
        match services.why_missing(Kind::Docker) {
            Some(reason) => steps.skip("demo", reason),
            None => _ = steps.take("demo", demo::check()).await,
        }
    }
    drop(services);

    let report = steps.report();
    let well = report.failed == 0 && counts.is_success();
    // A part that was left out is skipped, never passed; one that failed is told even if no test did.
    counts.skipped += report.skipped;
    if counts.failed == 0 {
        counts.failed = report.failed;
    }
    println!("{counts}");
    match well {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Runs all tests that can run, and adds what became of them to `counts`.
async fn tests(services: &Services, counts: &mut Counts) -> Result<()> {
    if !lint::has("nextest").await {
        return tests_without_nextest(services, counts).await;
    }
    for (kind, reason) in &services.missing {
        let number = number_of(*kind)
            .await
            .map_or_else(|_| "some".to_owned(), |number| number.to_string());
        println!("{number} {} tests are skipped: {reason}", kind.module());
    }
    let mut nextest = cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]);
    if !services.missing.is_empty() {
        let kinds: Vec<String> = services
            .missing
            .iter()
            .map(|(kind, _)| kind.filter())
            .collect();
        nextest
            .arg("-E")
            .arg(format!("not ({})", kinds.join(" | ")));
    }
    with_environment(&mut nextest, services);
    let mut summary = None;
    let status = watch(nextest, |line| {
        summary = Counts::from_nextest(line).or(summary);
        true
    })
    .await?;
    *counts += summary.context("nextest printed no summary")?;
    ensure!(status.success(), "{status}");
    ensure!(counts.passed > 0, "no test ran");
    Ok(())
}

async fn tests_without_nextest(services: &Services, counts: &mut Counts) -> Result<()> {
    println!("cargo-nextest is not installed; `cargo test` does, one binary after the other");
    let mut test = cargo(&[
        "test",
        "--workspace",
        "--all-targets",
        "--no-fail-fast",
        "--",
    ]);
    for (kind, reason) in &services.missing {
        println!("{} tests are skipped: {reason}", kind.module());
        test.arg("--skip").arg(format!("{}::", kind.module()));
    }
    with_environment(&mut test, services);
    count_libtest(test, counts).await
}

/// Runs the examples in documentation, which nextest does not.
async fn examples(counts: &mut Counts) -> Result<()> {
    let test = cargo(&["test", "--quiet", "--workspace", "--doc", "--no-fail-fast"]);
    count_libtest(test, counts).await
}

async fn count_libtest(command: Command, counts: &mut Counts) -> Result<()> {
    let status = watch(command, |line| {
        let found = Counts::from_libtest(line);
        *counts += found.unwrap_or_default();
        // Most crates have no example, which is nothing to read about.
        found != Some(Counts::default()) && line != "running 0 tests" && !line.is_empty()
    })
    .await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

fn with_environment(command: &mut Command, services: &Services) {
    command.env("CARGO_TERM_COLOR", "never");
    // What a test says of its failure comes last then, and is not lost above a stack.
    command.env("RUST_BACKTRACE", "0");
    for (name, value) in &services.environment {
        command.env(name, value);
    }
}

/// How many tests of a kind there are.
async fn number_of(kind: Kind) -> Result<usize> {
    let filter = kind.filter();
    let mut list = cargo(&["nextest", "list", "--workspace", "--message-format", "json"]);
    let listed = quietly(list.arg("-E").arg(filter)).await?;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    let suites = listed["rust-suites"].as_object().context("no suites")?;
    Ok(suites
        .values()
        .filter_map(|suite| suite["testcases"].as_object())
        .flat_map(|cases| cases.values())
        .filter(|case| case["filter-match"]["status"] == "matches")
        .count())
}

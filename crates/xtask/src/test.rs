//! `cargo xtask test`: every check and every test.
//!
//! The last line is always `N passed, N failed, N skipped`.

mod engines;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use self::engines::EngineCounts;
use crate::counts::Counts;
use crate::process::output_of;
use crate::services::{ServiceKind, Services};
use crate::steps::{Steps, cargo, run as run_command, watch};
use crate::{attack, crash_loop, demo, lint};

/// Options of the test task.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Runs only what needs no services: format, clippy, style, and tests on SQLite and directories.
    #[arg(long)]
    quick: bool,
}

pub(crate) async fn run(args: &Args) -> ExitCode {
    let mut steps = Steps::default();
    let mut counts = Counts::default();
    // Most of the time that services need is spent waiting for downloads.
    let (start, services) = (Instant::now(), services(args));
    let services = async { (services.await, start.elapsed()) };
    let ((services, took), ()) = tokio::join!(services, checks(args, &mut steps));
    steps.passed("services", took);
    let mut by_engine = EngineCounts::default();
    let testing = tests(&services, &mut counts, &mut by_engine);
    steps.run("tests", testing).await;
    trials(&services, &mut steps, &mut counts).await;
    if !args.quick {
        if lint::has("nextest").await {
            engines::run(&services, &mut steps, &mut counts, &mut by_engine).await;
        } else {
            steps.skip("other engines", "cargo-nextest is not installed");
        }
        steps.run("examples in docs", examples(&mut counts)).await;
        match services.missing_reason(ServiceKind::Docker) {
            Some(reason) => steps.skip("demo", reason),
            None => _ = steps.run("demo", demo::check()).await,
        }
    }
    drop(services);

    let report = steps.report();
    let is_success = report.failed == 0 && counts.is_success();
    // A step that did not run counts as skipped. A failed step counts even if no test failed.
    counts.skipped += report.skipped;
    if counts.failed == 0 {
        counts.failed = report.failed;
    }
    if !args.quick {
        by_engine.print();
    }
    println!("{counts}");
    if is_success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs the short forms of the crash loop and of the attack. Each counts as one test for each database.
async fn trials(services: &Services, steps: &mut Steps, counts: &mut Counts) {
    let has_postgres = services.missing_reason(ServiceKind::Postgres).is_none();
    let passed = steps
        .run("crash loop", crash_loop::short(has_postgres))
        .await;
    counts.passed += passed.unwrap_or_default();
    let passed = steps.run("attack", attack::short()).await;
    counts.passed += passed.map_or(0, |()| 1);
}

/// Starts the services, beside the checks.
async fn services(args: &Args) -> Services {
    if args.quick {
        Services::none("--quick was given")
    } else {
        Services::start().await
    }
}

/// Runs what needs no service.
async fn checks(args: &Args, steps: &mut Steps) {
    lint::format_and_clippy(steps).await;
    lint::wording(steps).await;
    if !args.quick {
        lint::documentation(steps).await;
        lint::supply_chain::check(steps).await;
    }
    let build = cargo(&["build", "--quiet", "--workspace", "--bins"]);
    steps.run("build", run_command(build)).await;
}

/// Runs the tests whose services are available, and adds the results to `counts`.
async fn tests(
    services: &Services,
    counts: &mut Counts,
    by_engine: &mut EngineCounts,
) -> Result<()> {
    if !lint::has("nextest").await {
        return tests_without_nextest(services, counts).await;
    }
    for (kind, reason) in &services.missing {
        let number = number_of(&kind.filter())
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
        by_engine.note(line);
        true
    })
    .await?;
    *counts += summary.context("nextest did not print a summary")?;
    ensure!(status.success(), "{status}");
    ensure!(counts.passed > 0, "no test ran");
    Ok(())
}

async fn tests_without_nextest(services: &Services, counts: &mut Counts) -> Result<()> {
    println!("cargo-nextest is not installed; using `cargo test`, one binary after the other");
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

/// Runs the examples in doc comments, which nextest does not run.
async fn examples(counts: &mut Counts) -> Result<()> {
    let test = cargo(&["test", "--quiet", "--workspace", "--doc", "--no-fail-fast"]);
    count_libtest(test, counts).await
}

async fn count_libtest(command: Command, counts: &mut Counts) -> Result<()> {
    let status = watch(command, |line| {
        let found = Counts::from_libtest(line);
        *counts += found.unwrap_or_default();
        // Most crates have no example; do not print a line for each.
        found != Some(Counts::default()) && line != "running 0 tests" && !line.is_empty()
    })
    .await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

fn with_environment(command: &mut Command, services: &Services) {
    command.env("CARGO_TERM_COLOR", "never");
    // Without a backtrace, a test's own message is the last of its output.
    command.env("RUST_BACKTRACE", "0");
    for (name, value) in &services.environment {
        command.env(name, value);
    }
}

/// The number of tests that a filter selects.
async fn number_of(filter: &str) -> Result<u64> {
    let mut list = cargo(&["nextest", "list", "--workspace", "--message-format", "json"]);
    let listed = output_of(list.arg("-E").arg(filter)).await?;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    let suites = listed["rust-suites"].as_object().context("no suites")?;
    let number = suites
        .values()
        .filter_map(|suite| suite["testcases"].as_object())
        .flat_map(|cases| cases.values())
        .filter(|case| case["filter-match"]["status"] == "matches")
        .count();
    Ok(number.try_into()?)
}

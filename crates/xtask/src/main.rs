//! `cargo xtask …`: the development tasks of this repository. Each installs and starts what it needs.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool prints to its terminal"
)]

mod attack;
mod bench;
mod counts;
mod crash_loop;
mod demo;
mod fuzz;
mod lint;
mod probe;
mod process;
mod python;
mod services;
mod setup;
mod steps;
mod test;
mod trials;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Development tasks of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Runs every check and every test, and starts the services they need.
    ///
    /// Advisories are checked as `lint` does, with SLIPWAY_ADVISORY_DB.
    Test(test::Args),
    /// Checks format, lints, style, spelling, documentation, licences and advisories.
    ///
    /// Advisories are read from the directory that SLIPWAY_ADVISORY_DB names, a copy of the RustSec
    /// database (github.com/rustsec/advisory-db). Without it, cargo-deny fetches them if it is
    /// installed.
    Lint,
    /// Starts the services that tests need, prints their environment variables, and waits for Ctrl-C.
    Services(services::Args),
    /// Builds a small repository on a local farm, end to end.
    Demo(demo::Args),
    /// Attacks a farm: every route with every kind of credential, hostile requests, floods.
    Attack(attack::Args),
    /// Kills the programs of a farm that builds, and checks that nothing acknowledged is lost.
    CrashLoop(crash_loop::Args),
    /// Runs a benchmark.
    Bench(bench::Args),
    /// Runs the fuzz targets in `fuzz/` for a while.
    Fuzz(fuzz::Args),
}

// A single thread: the kernel signals a child when the thread that started it ends (pdeathsig).
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let task = Task::parse();
    // Dropping the task stops the child processes it started, in order.
    let done = tokio::select! {
        // Ctrl-C also ends the command in the foreground, whose failure must not win this race.
        biased;
        name = interrupted() => {
            eprintln!("stopped by {name}");
            return ExitCode::from(130);
        }
        done = run(task) => done,
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(task: Task) -> anyhow::Result<ExitCode> {
    match task {
        Task::Test(args) => Ok(test::run(&args).await),
        Task::Lint => Ok(lint::run().await),
        Task::Services(args) => services::run(&args).await,
        Task::Demo(args) => demo::run(&args).await,
        Task::Attack(args) => attack::run(&args).await,
        Task::CrashLoop(args) => crash_loop::run(&args).await,
        Task::Bench(args) => bench::run(&args).await,
        Task::Fuzz(args) => fuzz::run(&args).await,
    }
}

async fn interrupted() -> &'static str {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}

/// The root of the repository.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// The directory for logs and installed tools. It is below `target`, so `cargo clean` deletes it.
fn scratch() -> std::io::Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |target| root().join(target));
    let scratch = target.join("xtask");
    std::fs::create_dir_all(&scratch)?;
    Ok(scratch)
}

/// The directory of debug programs.
fn programs() -> std::io::Result<PathBuf> {
    Ok(scratch()?.with_file_name("debug"))
}

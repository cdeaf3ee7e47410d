//! `cargo xtask …`: the chores of this repository, each of which sets up what it is missing.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to its terminal"
)]

mod bench;
mod counts;
mod demo;
mod lint;
mod probe;
mod process;
mod python;
mod services;
mod setup;
mod steps;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// The chores of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Runs every check and every test, with the services that they need.
    Test(test::Args),
    /// Checks format, lints, documentation, licences and advisories.
    Lint,
    /// Starts the services that tests need, says how to use them, and waits to be stopped.
    Services,
    /// Runs the main job on a real repository, end to end.
    Demo(demo::Args),
    /// Measures what the farm promises.
    Bench(bench::Args),
}

// One thread: what is started here is tied to the thread that started it.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let task = Task::parse();
    // Dropping the task stops, in order, whatever it had started.
    let done = tokio::select! {
        // Ctrl-C ends what runs in the foreground as well, which is then no failure of the task.
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
        Task::Services => services::run().await,
        Task::Demo(args) => demo::run(&args).await,
        Task::Bench(args) => bench::run(&args).await,
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

/// Where logs and installed tools go: out of the way, and gone with `cargo clean`.
fn scratch() -> std::io::Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |target| root().join(target));
    let scratch = target.join("xtask");
    std::fs::create_dir_all(&scratch)?;
    Ok(scratch)
}

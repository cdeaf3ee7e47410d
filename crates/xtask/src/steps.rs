//! Doing one thing after the other, and saying at the end how each went and what it took.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

use crate::process::Running;
use crate::root;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// The steps taken so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Outcome, Duration)>,
}

impl Steps {
    /// Takes a step, whether or not those before it went well.
    pub(crate) async fn take<T>(
        &mut self,
        name: &str,
        step: impl Future<Output = Result<T>>,
    ) -> Option<T> {
        println!("── {name}");
        let start = Instant::now();
        let result = step.await;
        let outcome = match &result {
            Ok(_) => Outcome::Passed,
            Err(error) => {
                println!("{name} failed: {error:#}");
                Outcome::Failed(format!("{error:#}"))
            }
        };
        self.done.push((name.to_owned(), outcome, start.elapsed()));
        result.ok()
    }

    /// Leaves a step out.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        println!("── {name}\nskipped: {reason}");
        let outcome = Outcome::Skipped(reason.to_owned());
        self.done.push((name.to_owned(), outcome, Duration::ZERO));
    }

    /// Says how each step went.
    pub(crate) fn report(&self) -> Report {
        println!("── summary");
        let mut report = Report::default();
        for (name, outcome, took) in &self.done {
            let took = format!("{:.1}s", took.as_secs_f64());
            match outcome {
                Outcome::Passed => println!("{name:<16} {took:>8}  ok"),
                Outcome::Failed(reason) => {
                    report.failed += 1;
                    println!("{name:<16} {took:>8}  FAILED: {reason}");
                }
                Outcome::Skipped(reason) => {
                    report.skipped += 1;
                    println!("{name:<16} {:>8}  skipped: {reason}", "-");
                }
            }
        }
        report
    }
}

/// How many steps did not pass.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

/// `cargo` with `arguments`, at the root of the repository.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root());
    // `cargo run` describes this very package to us. Passed on, that would look to build scripts
    // as if they had to run again.
    for (name, _) in std::env::vars_os() {
        let described = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
        ];
        let name = name.to_string_lossy();
        if described.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name.as_ref());
        }
    }
    command
}

/// Runs `command` to its end, with its output on ours.
pub(crate) async fn run(command: Command) -> Result<()> {
    let mut running = Running::start(command, Signal::SIGTERM, Duration::from_secs(20))?;
    let status = running.child().wait().await?;
    anyhow::ensure!(status.success(), "{status}");
    Ok(())
}

/// Runs `command` to its end, and gives every line it prints to `shown`, which says whether we print
/// it too.
///
/// # Errors
/// When it cannot be run. That it failed is for the caller to judge, by the status.
pub(crate) async fn watch(
    mut command: Command,
    mut shown: impl FnMut(&str) -> bool,
) -> Result<std::process::ExitStatus> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(command, Signal::SIGTERM, Duration::from_secs(20))?;
    let child = running.child();
    let mut out = lines(child.stdout.take().context("no output")?);
    let mut err = lines(child.stderr.take().context("no output")?);
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        let next = tokio::select! {
            next = out.next_line(), if out_open => {
                let next = next?;
                out_open = next.is_some();
                next
            }
            next = err.next_line(), if err_open => {
                let next = next?;
                err_open = next.is_some();
                next
            }
        };
        if let Some(next) = next.filter(|next| shown(next)) {
            println!("{next}");
        }
    }
    Ok(child.wait().await?)
}

fn lines<R: AsyncRead + Unpin>(stream: R) -> tokio::io::Lines<BufReader<R>> {
    BufReader::new(stream).lines()
}

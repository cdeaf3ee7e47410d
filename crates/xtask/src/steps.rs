//! Steps that run one after the other, with a summary of results and times at the end.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

use crate::process::ChildProcess;
use crate::root;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// The steps that have run.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Outcome, Duration)>,
}

impl Steps {
    /// Runs a step, even if earlier ones failed. Returns its value if it passed.
    pub(crate) async fn run<T>(
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

    /// Records a step that passed beside others.
    pub(crate) fn passed(&mut self, name: &str, took: Duration) {
        self.done.push((name.to_owned(), Outcome::Passed, took));
    }

    /// Records a step as skipped.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        println!("── {name}\nskipped: {reason}");
        let outcome = Outcome::Skipped(reason.to_owned());
        self.done.push((name.to_owned(), outcome, Duration::ZERO));
    }

    /// Prints the result of each step.
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

/// The number of steps that did not pass.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

/// `cargo` with `arguments`, at the root of the repository.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root());
    // `cargo run` sets variables that describe this package. If they were inherited, build scripts
    // that read them would run again each time.
    for (name, _) in std::env::vars_os() {
        let prefixes = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
        ];
        let name = name.to_string_lossy();
        if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name.as_ref());
        }
    }
    command
}

/// Runs `command` with its output on this terminal.
pub(crate) async fn run(command: Command) -> Result<()> {
    let mut running = ChildProcess::start(command, Signal::SIGTERM, Duration::from_secs(20))?;
    let status = running.child().wait().await?;
    anyhow::ensure!(status.success(), "{status}");
    Ok(())
}

/// Runs `command`, passes every line of its output to `filter`, and prints the lines for which it
/// returns true.
///
/// # Errors
/// If the command cannot be run. A failed command is not an error; check the status.
pub(crate) async fn watch(
    mut command: Command,
    mut filter: impl FnMut(&str) -> bool,
) -> Result<std::process::ExitStatus> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = ChildProcess::start(command, Signal::SIGTERM, Duration::from_secs(20))?;
    let child = running.child();
    let mut out = lines(child.stdout.take().context("the output is not captured")?);
    let mut err = lines(child.stderr.take().context("the output is not captured")?);
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
        if let Some(next) = next.filter(|next| filter(next)) {
            println!("{next}");
        }
    }
    Ok(child.wait().await?)
}

fn lines<R: AsyncRead + Unpin>(stream: R) -> tokio::io::Lines<BufReader<R>> {
    BufReader::new(stream).lines()
}

//! `cargo xtask fuzz`: runs the targets in `fuzz/` with libFuzzer, on the stable compiler.
//!
//! The instrumentation that libFuzzer needs is a pass of LLVM, which stable rustc can be asked to run.
//! There is no address sanitizer, which needs a nightly compiler: our crates have no unsafe code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::process::output_of;
use crate::steps::{Steps, cargo, run as run_command};
use crate::{root, scratch, setup};

/// What rustc passes to LLVM: count each edge, and report operands of comparisons.
const INSTRUMENTATION: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];

/// How the names of targets begin that need a whole farm, which takes minutes to compile.
const NEEDS_FARM: &str = "api-";

/// Options of the fuzz task.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The targets; all directories in fuzz/corpus if none is named.
    targets: Vec<String>,
    /// How long each target runs, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Runs one target with this input only, for example one that an earlier run reported.
    #[arg(long, requires = "targets")]
    input: Option<PathBuf>,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    let known = targets()?;
    for target in &args.targets {
        let names = known.join(", ");
        ensure!(
            known.contains(target),
            "no target {target}; there are {names}"
        );
    }
    let chosen = if args.targets.is_empty() {
        &known
    } else {
        &args.targets
    };
    let program = build(chosen).await?;
    let mut steps = Steps::default();
    for target in chosen {
        steps.run(target, fuzz(&program, target, args)).await;
    }
    if steps.report().failed == 0 {
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

/// The names of all targets.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("fuzz/corpus"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Compiles the targets with instrumentation; returns the program.
async fn build(chosen: &[String]) -> Result<PathBuf> {
    // libFuzzer is written in C++.
    setup::program("g++", "g++").await?;
    let needs_farm = chosen.iter().any(|target| target.starts_with(NEEDS_FARM));
    let features = if needs_farm {
        "libfuzzer,apis"
    } else {
        "libfuzzer"
    };
    let host = host().await?;
    let directory = scratch()?.join("fuzz");
    let mut build = cargo(&[
        "build",
        "--package=slipway-fuzz",
        "--bin=slipway-fuzz",
        "--profile=fuzz",
        "--no-default-features",
        "--features",
        features,
        // With a target, build scripts and macros are not instrumented.
        "--target",
        &host,
    ]);
    build
        .arg("--target-dir")
        .arg(&directory)
        .env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTATION.join("\u{1f}"));
    run_command(build)
        .await
        .context("could not compile the targets")?;
    Ok(directory.join(host).join("fuzz/slipway-fuzz"))
}

/// The name of the machine that the compiler runs on.
async fn host() -> Result<String> {
    let version = output_of(Command::new("rustc").arg("-vV").current_dir(root())).await?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}

/// Runs one target. New inputs are kept for later runs, and those that fail are kept beside them.
async fn fuzz(program: &Path, target: &str, args: &Args) -> Result<()> {
    let found = scratch()?.join("fuzz-inputs").join(target);
    std::fs::create_dir_all(&found)?;
    let mut command = Command::new(program);
    command
        .current_dir(root())
        .env("FUZZ_TARGET", target)
        // A farm must not reach repositories at addresses that the fuzzer invents.
        .env("PATH", without_git()?);
    if let Some(input) = &args.input {
        command.arg(std::path::absolute(input)?);
    } else {
        let failed = found.with_extension("failed-");
        command
            .arg(&found)
            .arg(root().join("fuzz/corpus").join(target))
            .arg(format!("-artifact_prefix={}", failed.display()))
            .arg(format!("-max_total_time={}", args.seconds))
            .args(["-timeout=30", "-rss_limit_mb=4096", "-max_len=20000"])
            .args(["-print_final_stats=1", "-verbosity=0"]);
    }
    run_command(command).await
}

/// A directory for `PATH` whose `git` always fails.
fn without_git() -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = scratch()?.join("fuzz-path");
    std::fs::create_dir_all(&directory)?;
    let git = directory.join("git");
    std::fs::write(&git, "#!/bin/sh\necho 'fatal: no network' >&2\nexit 128\n")?;
    std::fs::set_permissions(&git, std::fs::Permissions::from_mode(0o755))?;
    Ok(directory)
}

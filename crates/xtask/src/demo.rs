//! `cargo xtask demo`: builds a repository end to end, with the real programs.
//!
//! The demo starts a farm with a registry and two runners, builds two commits of a repository as a user
//! would, and pulls and runs the images. Afterwards only installed packages and the engine's build
//! cache remain.

mod command_line;
mod farm;
mod images;
mod process_list;
mod source;
mod stop;
mod timings;
mod work_dir;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use self::command_line::CommandLine;
use self::farm::Farm;
use self::images::pull_and_run;
use self::source::GREETINGS;
use self::timings::Timings;
use self::work_dir::WorkDir;
use crate::process::Lifetime;
use crate::steps::{cargo, run as run_command};

/// The project that is created and built.
const PROJECT: &str = "demo/hello";

/// Timeout of one command. Builds take seconds, but the machine may be slow.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Options of the demo.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leaves everything running at the end.
    #[arg(long)]
    keep: bool,
    /// Stops and deletes what `--keep` left running.
    #[arg(long, conflicts_with = "keep")]
    stop: bool,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    const NAME: &str = "demo";
    if args.stop {
        let stopped = stop::stop(WorkDir::existing(NAME)?).await?;
        println!(
            "{}",
            match stopped {
                0 => "Nothing was running.",
                _ => "Everything is stopped and deleted.",
            }
        );
    } else if args.keep {
        let farm = run_demo(NAME, Lifetime::Detached).await?;
        farm.describe();
        farm.detach();
    } else {
        drop(run_demo(NAME, Lifetime::Bound).await?);
        println!("Everything is stopped and deleted.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the demo as a test, in a directory apart from a demo that was left running.
pub(crate) async fn check() -> Result<()> {
    run_demo("demo-test", Lifetime::Bound).await.map(drop)
}

/// Runs the demo once, and returns the running farm.
async fn run_demo(name: &str, lifetime: Lifetime) -> Result<Farm> {
    let work_dir = WorkDir::create(name)?;
    let logs = work_dir.display("logs");
    let mut timings = Timings::default();
    let farm = run_steps(work_dir, lifetime, &mut timings)
        .await
        .with_context(|| format!("the demo failed; the logs of the programs are in {logs}"))?;
    timings.report();
    Ok(farm)
}

async fn run_steps(work_dir: WorkDir, lifetime: Lifetime, timings: &mut Timings) -> Result<Farm> {
    println!(
        "Compiling the coordinator, the runner and the command line. The first time takes some minutes."
    );
    let build = cargo(&["build", "--workspace", "--bins"]);
    let compile = timings.measure("compile", run_command(build)).await;
    compile.context("could not compile the programs")?;

    let prepared = timings
        .measure("setup", farm::prepare(work_dir, lifetime))
        .await?;
    let mut farm = timings
        .measure("start", Farm::start(prepared, lifetime))
        .await?;
    timings
        .measure("first build", first_build(&mut farm))
        .await?;
    timings
        .measure("second build", next_build(&mut farm))
        .await?;
    timings
        .measure("pull and run", pull_and_run_images(&mut farm))
        .await?;
    Ok(farm)
}

/// Logs in, creates the project, and builds its first commit.
async fn first_build(farm: &mut Farm) -> Result<()> {
    println!(
        "\nA project is a repository to build. The first commit of this one has this Dockerfile:\n"
    );
    for line in farm.source.dockerfile().lines() {
        println!("    {line}");
    }
    println!();
    let (url, token) = (farm.url(), farm.work_dir.display("coordinator/admin-token"));
    slipway(farm, &["login", "--url", &url, "--token-file", &token]).await?;
    let repo = farm.source.url();
    slipway(farm, &["projects", "create", PROJECT, "--repo", &repo]).await?;
    println!("\nThe first build. Its trace is printed while it grows.");
    build(farm).await
}

/// Pushes a second commit, and builds it.
async fn next_build(farm: &mut Farm) -> Result<()> {
    let sha = farm.source.commit(GREETINGS[1], "Greet everybody").await?;
    println!(
        "\nA second commit, {}, with another greeting. Unchanged steps come from the cache.",
        short(&sha)
    );
    build(farm).await
}

async fn build(farm: &mut Farm) -> Result<()> {
    let line = ["build", PROJECT, "--ref", "main", "--follow"];
    slipway(farm, &line)
        .await
        .context("a build did not succeed")
}

/// Lists the builds, pulls the images from the registry, and runs them.
async fn pull_and_run_images(farm: &mut Farm) -> Result<()> {
    println!("\nThe builds and their images:");
    slipway(farm, &["builds", PROJECT]).await?;
    let builds = slipway_json(farm, &["--json", "builds", PROJECT]).await?;
    let builds = builds
        .as_array()
        .context("`slipway builds` did not print a list")?;
    ensure!(
        builds.len() == GREETINGS.len(),
        "{} builds are listed instead of {}",
        builds.len(),
        GREETINGS.len()
    );
    // The newest is listed first.
    for (build, greeting) in builds.iter().rev().zip(GREETINGS) {
        let id = build["id"].as_str().context("the build has no id")?;
        slipway(farm, &["artifacts", id]).await?;
        let artifacts = slipway_json(farm, &["--json", "artifacts", id]).await?;
        let listed = artifacts.as_array().into_iter().flatten();
        let mut digests = listed.filter_map(|artifact| artifact["digest"].as_str());
        let digest = digests.next().context("the build has no image")?;
        let image = format!("{}/{PROJECT}@{digest}", farm.registry.address());
        let output = pull_and_run(&image).await?;
        ensure!(
            output.contains(greeting),
            "the image {image} printed {output:?} instead of {greeting:?}"
        );
    }
    Ok(())
}

/// Runs a `slipway` command with its output on this terminal.
async fn slipway(farm: &mut Farm, arguments: &[&str]) -> Result<()> {
    let line = CommandLine::new("slipway", arguments);
    line.print();
    let command = farm.work_dir.command(&line)?;
    // The command would wait for a program that has ended, so watch the programs as well.
    let done = tokio::select! {
        done = run_command(command) => done,
        exited = farm.wait_for_exit() => Err(exited),
        () = tokio::time::sleep(TIMEOUT) => Err(anyhow!("it did not finish within {TIMEOUT:?}")),
    };
    done.with_context(|| format!("`{line}`"))
}

/// Runs a `slipway` command with `--json`, and parses its output.
async fn slipway_json(farm: &Farm, arguments: &[&str]) -> Result<serde_json::Value> {
    let line = CommandLine::new("slipway", arguments);
    let answer = crate::process::output_of(&mut farm.work_dir.command(&line)?).await?;
    serde_json::from_str(&answer).with_context(|| format!("`{line}` did not print JSON"))
}

/// The first eight digits of a commit's id.
fn short(sha: &str) -> &str {
    sha.get(..8).unwrap_or(sha)
}

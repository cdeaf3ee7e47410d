//! `cargo xtask demo`: the main job, end to end, with the real programs.
//!
//! A farm with a registry and two runners is set up, two commits of a repository are built on it as
//! a user would have them built, and the images are pulled back and run. The machine is left as it
//! was found but for the packages that were missing and the engine's build cache.

mod farm;
mod images;
mod ledger;
mod line;
mod place;
mod source;
mod timings;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use self::farm::Farm;
use self::images::pull_and_run;
use self::line::Line;
use self::place::Place;
use self::source::GREETINGS;
use self::timings::Timings;
use crate::process::Bond;
use crate::steps::{cargo, run as run_command};

/// The project that is made and built.
const PROJECT: &str = "demo/hello";

/// How long one command may take: builds of seconds, on a machine that may be slow.
const PATIENCE: Duration = Duration::from_secs(300);

/// What can be chosen about the demonstration.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leaves everything running at the end, to be looked at.
    #[arg(long)]
    keep: bool,
    /// Stops and removes what `--keep` left running.
    #[arg(long, conflicts_with = "keep")]
    stop: bool,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    const NAME: &str = "demo";
    if args.stop {
        let stopped = ledger::stop(Place::find(NAME)?).await?;
        println!(
            "{}",
            match stopped {
                0 => "Nothing was running.",
                _ => "Everything is stopped and removed.",
            }
        );
    } else if args.keep {
        let farm = show(NAME, Bond::Free).await?;
        farm.describe();
        farm.leave();
    } else {
        drop(show(NAME, Bond::Tied).await?);
        println!("Everything is stopped and removed.");
    }
    Ok(ExitCode::SUCCESS)
}

/// The demonstration as a test: apart from one that somebody keeps running.
pub(crate) async fn check() -> Result<()> {
    show("demo-test", Bond::Tied).await.map(drop)
}

/// Shows everything once, and gives the farm as it is then.
async fn show(name: &str, bond: Bond) -> Result<Farm> {
    let place = Place::take(name)?;
    let logs = place.shown("logs");
    let mut timings = Timings::default();
    let farm = story(place, bond, &mut timings)
        .await
        .with_context(|| format!("the demonstration failed; the programs' words are in {logs}"))?;
    timings.report();
    Ok(farm)
}

async fn story(place: Place, bond: Bond, timings: &mut Timings) -> Result<Farm> {
    println!(
        "Compiling the coordinator, the runner and the command line. From nothing, that takes"
    );
    println!("some minutes.");
    let build = cargo(&["build", "--workspace", "--bins"]);
    let compile = timings.take("compile", run_command(build)).await;
    compile.context("the programs do not compile")?;

    let ground = timings.take("setup", farm::prepare(place, bond)).await?;
    let mut farm = timings.take("start", Farm::start(ground, bond)).await?;
    timings.take("first build", first_build(&mut farm)).await?;
    timings.take("second build", next_build(&mut farm)).await?;
    timings.take("pull and run", look(&mut farm)).await?;
    Ok(farm)
}

/// Logs in, makes the project, and builds what its repository has.
async fn first_build(farm: &mut Farm) -> Result<()> {
    println!("\nA project is a repository to build. This one has a commit with this Dockerfile:\n");
    for line in farm.source.dockerfile().lines() {
        println!("    {line}");
    }
    println!();
    let (url, token) = (farm.url(), farm.place.shown("coordinator/admin-token"));
    slipway(farm, &["login", "--url", &url, "--token-file", &token]).await?;
    let repo = farm.source.url();
    slipway(farm, &["projects", "create", PROJECT, "--repo", &repo]).await?;
    println!("\nThe first build. Its trace is shown while it is written.");
    build(farm).await
}

/// Publishes another commit, and builds that.
async fn next_build(farm: &mut Farm) -> Result<()> {
    let sha = farm.source.commit(GREETINGS[1], "Greet everybody").await?;
    println!(
        "\nA second commit, {}, with another greeting. Steps before it come from the cache.",
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

/// Lists what was built, pulls the images from the registry, and runs them.
async fn look(farm: &mut Farm) -> Result<()> {
    println!("\nWhat there is now:");
    slipway(farm, &["builds", PROJECT]).await?;
    let builds = asked(farm, &["--json", "builds", PROJECT]).await?;
    let builds = builds.as_array().context("no list of builds")?;
    ensure!(
        builds.len() == GREETINGS.len(),
        "there are {} builds, not {}",
        builds.len(),
        GREETINGS.len()
    );
    // The newest is listed first.
    for (build, greeting) in builds.iter().rev().zip(GREETINGS) {
        let id = build["id"].as_str().context("a build without an id")?;
        slipway(farm, &["artifacts", id]).await?;
        let artifacts = asked(farm, &["--json", "artifacts", id]).await?;
        let made = artifacts.as_array().into_iter().flatten();
        let mut digests = made.filter_map(|artifact| artifact["digest"].as_str());
        let digest = digests.next().context("a build without an image")?;
        let image = format!("{}/{PROJECT}@{digest}", farm.registry.address());
        let said = pull_and_run(&image).await?;
        ensure!(
            said.contains(greeting),
            "the image {image} was to say {greeting:?}, and said {said:?}"
        );
    }
    Ok(())
}

/// Types a `slipway` command, with its output on ours.
async fn slipway(farm: &mut Farm, arguments: &[&str]) -> Result<()> {
    let line = Line::new("slipway", arguments);
    line.say();
    let command = farm.place.command(&line)?;
    // A farm that has lost a part of itself would wait for it to come back.
    let done = tokio::select! {
        done = run_command(command) => done,
        gone = farm.breaks() => Err(gone),
        () = tokio::time::sleep(PATIENCE) => Err(anyhow!("it takes longer than {PATIENCE:?}")),
    };
    done.with_context(|| format!("`{line}`"))
}

/// What a `slipway` command answers in JSON, unseen.
async fn asked(farm: &Farm, arguments: &[&str]) -> Result<serde_json::Value> {
    let line = Line::new("slipway", arguments);
    let answer = crate::process::quietly(&mut farm.place.command(&line)?).await?;
    serde_json::from_str(&answer).with_context(|| format!("`{line}` gave no JSON"))
}

/// A commit's id as people say it.
fn short(sha: &str) -> &str {
    sha.get(..8).unwrap_or(sha)
}

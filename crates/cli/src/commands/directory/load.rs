//! Getting an image into the Docker Engine of this machine, by its own command line, which knows
//! where the engine is and how to log in: as an archive from the farm, or from where the farm pushed
//! it.

use std::io::{ErrorKind, IsTerminal as _, stderr};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, bail};
use futures_util::TryStreamExt as _;
use slipway_client::{Artifact, ClientError};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use uuid::Uuid;

use super::bar::Bar;
use crate::args::ProgressKind;
use crate::commands::Session;

/// The type of a job's file that has its image in it.
const IMAGE_ARCHIVE: &str = "image_archive";

/// Makes sure that there is an engine here, before anybody builds for it.
pub(super) async fn check() -> Result<()> {
    let asked = Command::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .stdin(Stdio::null())
        .output();
    match asked.await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("--load needs the `docker` command, which is not here")
        }
        Err(error) => Err(error).context("cannot run `docker`"),
        Ok(answer) if answer.status.success() => Ok(()),
        Ok(answer) => {
            let why = String::from_utf8_lossy(&answer.stderr);
            bail!(
                "--load needs a Docker Engine, and there is none to be had: {}",
                why.trim()
            )
        }
    }
}

/// Loads the archive that a build that succeeded left of its image, which has the `names` in it.
pub(super) async fn load(
    session: &Session,
    build: Uuid,
    names: &[String],
    progress: ProgressKind,
) -> Result<()> {
    let is_archive = |artifact: &Artifact| {
        artifact.kind == "file" && word(artifact, "file_type") == Some(IMAGE_ARCHIVE)
    };
    let archive = find(session, build, |artifact| {
        is_archive(artifact).then(|| artifact.clone())
    });
    let archive = archive.await?;
    let archive = archive.context("the build left no archive of its image")?;
    let spawned = Command::new("docker")
        .args(["load", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut engine = spawned.context("cannot run `docker`")?;
    let bar = Bar::new(session, progress, "Loading the image", archive.size_bytes);
    let status = bar.follow(pour(session, &archive, &mut engine, &bar));
    if !status.await??.success() {
        bail!(
            "`docker load` failed; the archive is kept for a day as artifact {} of build {build}",
            archive.id
        );
    }
    let note = format!("Loaded {}", names.join(", "));
    session.output.note(&note)?;
    Ok(())
}

/// Pours an archive into the engine's command as it comes; returns how that ended.
async fn pour(
    session: &Session,
    archive: &Artifact,
    engine: &mut Child,
    bar: &Bar,
) -> Result<ExitStatus> {
    let mut input = engine.stdin.take().context("cannot talk to `docker`")?;
    let done = bar.done();
    let mut pieces = std::pin::pin!(session.client.artifact_content(archive.id).await?);
    let broken = |error: ClientError| anyhow::Error::new(error).context("the image broke off");
    while let Some(piece) = pieces.try_next().await.map_err(broken)? {
        // A command that takes no more ends, and says why.
        if input.write_all(&piece).await.is_err() {
            break;
        }
        done.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    drop(input);
    Ok(engine.wait().await?)
}

/// Pulls the image that a build that succeeded pushed, and gives it names.
pub(super) async fn pull(session: &Session, build: Uuid, names: &[String]) -> Result<()> {
    // The last one made is that of all its platforms, where it has several.
    let image = find(session, build, pinned).await?;
    let image = image.context("the build pushed no image that could be loaded")?;
    let mut pull = vec!["pull"];
    if !stderr().is_terminal() {
        pull.push("--quiet");
    }
    pull.push(&image);
    docker(&pull, &image).await?;
    for name in names {
        docker(&["tag", &image, name], &image).await?;
    }
    let names = match names {
        [] => image,
        names => names.join(", "),
    };
    session.output.note(&format!("Loaded {names}"))?;
    Ok(())
}

/// What is wanted of the artifacts of a build; the latest first.
async fn find<T>(
    session: &Session,
    build: Uuid,
    wanted: impl Fn(&Artifact) -> Option<T>,
) -> Result<Option<T>> {
    let build = session.client.build(build).await?;
    for job in build.jobs.iter().rev().filter(|job| !job.superseded) {
        let made = session.client.artifacts(job.id).await?.items;
        if let Some(found) = made.iter().find_map(&wanted) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The repository of an image with its digest.
fn pinned(artifact: &Artifact) -> Option<String> {
    let (reference, digest) = (word(artifact, "reference")?, word(artifact, "digest")?);
    let repository = match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => reference,
    };
    (artifact.kind == "image").then(|| format!("{repository}@{digest}"))
}

fn word<'a>(artifact: &'a Artifact, name: &str) -> Option<&'a str> {
    artifact.about.get(name).and_then(|value| value.as_str())
}

/// Runs the `docker` command line. What it prints is for people, and goes to standard error.
async fn docker(arguments: &[&str], image: &str) -> Result<()> {
    let status = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(stderr())
        .status();
    let status = status.await.context("cannot run `docker`")?;
    if !status.success() {
        bail!(
            "the image is at {image}, but `docker {}` failed",
            arguments.join(" ")
        );
    }
    Ok(())
}

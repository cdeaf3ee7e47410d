//! Puts an image into the local Docker Engine, from an archive on the farm or from the registry.
//!
//! The `docker` command line is used because it knows where the engine is and how to log in.

use std::io::{ErrorKind, IsTerminal as _, stderr};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, bail};
use futures_util::TryStreamExt as _;
use slipway_client::{Artifact, ClientError};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use uuid::Uuid;

use super::progress_bar::ProgressBar;
use crate::args::ProgressKind;
use crate::commands::Session;

/// The type of the artifact that contains the image.
const IMAGE_ARCHIVE: &str = "image_archive";

/// Checks that there is a local engine, before anything is built for it.
pub(super) async fn check() -> Result<()> {
    let version = Command::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .stdin(Stdio::null())
        .output();
    match version.await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("--load needs the `docker` command, which was not found")
        }
        Err(error) => Err(error).context("could not run `docker`"),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            bail!(
                "--load needs a Docker Engine, which is not available: {}",
                why.trim()
            )
        }
    }
}

/// Loads the image archive of a successful build. The archive contains the `names`.
pub(super) async fn load(
    session: &Session,
    build: Uuid,
    names: &[String],
    progress: ProgressKind,
) -> Result<()> {
    let is_archive = |artifact: &Artifact| {
        artifact.kind == "file" && field(artifact, "file_type") == Some(IMAGE_ARCHIVE)
    };
    let archive = find(session, build, |artifact| {
        is_archive(artifact).then(|| artifact.clone())
    });
    let archive = archive.await?;
    let archive = archive.context("the build has no artifact with its image")?;
    let spawned = Command::new("docker")
        .args(["load", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut engine = spawned.context("could not run `docker`")?;
    let bar = ProgressBar::new(session, progress, "Loading the image", archive.size_bytes);
    let status = bar.follow(stream_into(session, &archive, &mut engine, &bar));
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

/// Streams an archive into `docker load`, and returns its exit status.
async fn stream_into(
    session: &Session,
    archive: &Artifact,
    engine: &mut Child,
    bar: &ProgressBar,
) -> Result<ExitStatus> {
    let mut input = engine.stdin.take().context("could not write to `docker`")?;
    let done = bar.done();
    let mut pieces = std::pin::pin!(session.client.artifact_content(archive.id).await?);
    let broken =
        |error: ClientError| anyhow::Error::new(error).context("the download of the image failed");
    while let Some(piece) = pieces.try_next().await.map_err(broken)? {
        // A command that stops reading has failed; its exit status and message say why.
        if input.write_all(&piece).await.is_err() {
            break;
        }
        done.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    drop(input);
    Ok(engine.wait().await?)
}

/// How often an image is pulled. If a runner uses the same engine, what it deletes at the end of the job
/// may take the pulled image with it, as long as that has no other name.
const PULL_ATTEMPTS: u32 = 3;

/// Pulls the image that a successful build pushed, and tags it with `names`.
pub(super) async fn pull(session: &Session, build: Uuid, names: &[String]) -> Result<()> {
    // The last image of a build with several platforms is the one for all platforms.
    let image = find(session, build, pinned).await?;
    let image = image.context("the build has not pushed an image that could be loaded")?;
    let mut pull = vec!["pull"];
    if !stderr().is_terminal() {
        pull.push("--quiet");
    }
    pull.push(&image);
    let mut attempts = PULL_ATTEMPTS;
    loop {
        docker(&pull, &image).await?;
        attempts -= 1;
        match tag_all(&image, names).await {
            Err(_) if attempts > 0 => {
                let note = "The image could not be tagged; pulling it again";
                session.output.note(note)?;
            }
            tagged => break tagged?,
        }
    }
    let names = match names {
        [] => image,
        names => names.join(", "),
    };
    session.output.note(&format!("Loaded {names}"))?;
    Ok(())
}

async fn tag_all(image: &str, names: &[String]) -> Result<()> {
    for name in names {
        docker(&["tag", image, name], image).await?;
    }
    Ok(())
}

/// The first result of `wanted` for the artifacts of a build, latest job first.
async fn find<T>(
    session: &Session,
    build: Uuid,
    wanted: impl Fn(&Artifact) -> Option<T>,
) -> Result<Option<T>> {
    let build = session.client.build(build).await?;
    for job in build.jobs.iter().rev().filter(|job| !job.superseded) {
        let artifacts = session.client.artifacts(job.id).await?.items;
        if let Some(found) = artifacts.iter().find_map(&wanted) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The reference of an image by digest, so that exactly the built image is pulled.
fn pinned(artifact: &Artifact) -> Option<String> {
    let (reference, digest) = (field(artifact, "reference")?, field(artifact, "digest")?);
    let repository = match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => reference,
    };
    (artifact.kind == "image").then(|| format!("{repository}@{digest}"))
}

fn field<'a>(artifact: &'a Artifact, name: &str) -> Option<&'a str> {
    artifact.about.get(name).and_then(|value| value.as_str())
}

/// Runs `docker` with its output on standard error.
async fn docker(arguments: &[&str], image: &str) -> Result<()> {
    let status = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(stderr())
        .status();
    let status = status.await.context("could not run `docker`")?;
    if !status.success() {
        bail!(
            "the image was pushed to {image}, but `docker {}` failed",
            arguments.join(" ")
        );
    }
    Ok(())
}

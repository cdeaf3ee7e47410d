//! Getting an image from where the farm pushed it into the Docker Engine of this machine, by its
//! own command line, which knows where the engine is and how to log in.

use std::ffi::OsStr;
use std::io::{ErrorKind, IsTerminal as _, stderr};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use slipway_client::Artifact;
use tokio::process::Command;
use uuid::Uuid;

use crate::commands::Session;

/// Pulls the image of a build that succeeded, and gives it names.
pub(super) async fn load(session: &Session, build: Uuid, names: &[String]) -> Result<()> {
    let image = image_of(session, build).await?;
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

/// The image of a build, by its digest. The last one made is that of all its platforms, where it
/// has several.
async fn image_of(session: &Session, build: Uuid) -> Result<String> {
    let build = session.client.build(build).await?;
    for job in build.jobs.iter().rev().filter(|job| !job.superseded) {
        let made = session.client.artifacts(job.id).await?.items;
        if let Some(image) = made.iter().find_map(pinned) {
            return Ok(image);
        }
    }
    bail!("the build pushed no image that could be loaded")
}

/// The repository with the digest.
fn pinned(artifact: &Artifact) -> Option<String> {
    let word = |name| artifact.about.get(name).and_then(|value| value.as_str());
    let (reference, digest) = (word("reference")?, word("digest")?);
    let repository = match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => reference,
    };
    (artifact.kind == "image").then(|| format!("{repository}@{digest}"))
}

/// Runs the `docker` command line. What it prints is for people, and goes to standard error.
async fn docker(arguments: &[&str], image: &str) -> Result<()> {
    let run = Command::new(OsStr::new("docker"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(stderr())
        .status();
    let status = match run.await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("the image is at {image}, but there is no `docker` command here to load it")
        }
        status => status.context("cannot run `docker`")?,
    };
    if !status.success() {
        bail!(
            "the image is at {image}, but `docker {}` failed",
            arguments.join(" ")
        );
    }
    Ok(())
}

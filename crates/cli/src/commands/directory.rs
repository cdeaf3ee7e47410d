//! Building a directory of this machine: packed while it is sent, built by the farm and followed,
//! and put into the local Docker Engine when that is asked for.

mod bar;
mod load;
mod names;
mod send;

use std::path::Path;
use std::pin::pin;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use slipway_build_context::{Context, KeepIgnored, Packing};
use slipway_client::{BuildToCheck, ClientError, ImageSpec, SourceBuild, SourceDate};
use tokio::signal::unix::{Signal, SignalKind, signal};
use uuid::Uuid;

use self::names::Names;
use crate::args::{Given, Image};
use crate::commands::{Done, Session, logs};
use crate::config::non_empty;

/// What says when an image was made, as other build tools take it.
const SOURCE_DATE: &str = "SOURCE_DATE_EPOCH";

/// Builds a directory, and follows the build.
pub(crate) async fn build(
    session: &Session,
    directory: &Path,
    pipeline: Option<String>,
    image: Image,
) -> Result<Done> {
    let project = image.project.as_ref().context(
        "no project is named that builds the directory: give --project NAMESPACE/NAME, or set SLIPWAY_PROJECT",
    )?;
    // What goes into the engine here and nowhere else needs no registry.
    let is_archive = image.load && !image.push;
    if is_archive && image.platforms.len() > 1 {
        bail!(
            "--load takes an image for one platform; with --push as well, the engine here pulls that of its own"
        );
    }
    let names = match is_archive {
        true => Names::read_local(&image.tags, project),
        false => Names::read(&image.tags)?,
    };
    let date = source_date(non_empty(SOURCE_DATE))?;
    let own = directory.join("Dockerfile");
    let dockerfile = image.file.as_deref().unwrap_or(&own);
    let context = Context::of_directory(directory, dockerfile)?;
    let packing = Packing {
        latest_change: date.map(|date| UNIX_EPOCH + Duration::from_secs(date.into())),
        keep: KeepIgnored::AllPatterns,
    };
    let mut spec = spec(&image, &names, context.dockerfile(), date);
    if is_archive {
        spec.archive.clone_from(&names.local);
    }
    if image.load {
        load::check().await?;
    }
    let client = &session.client;
    let asked = BuildToCheck {
        pipeline,
        image: spec,
        push: match (image.push, is_archive) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        },
    };
    // Better now than after all has been sent.
    client
        .check_build(&project.namespace, &project.name, &asked)
        .await?;
    let source = send::send(session, project, context, packing, image.progress).await?;
    // From here on there is a build to call off.
    let interrupts = signal(SignalKind::interrupt())?;
    let new = SourceBuild {
        source: source.id,
        pipeline: asked.pipeline,
        image: asked.image,
        push: asked.push,
    };
    let made = client.build_source(&project.namespace, &project.name, &new);
    let build = made.await?;
    let note = format!("Build {} of {}", build.id, build.project);
    session.output.note(&note)?;
    let done = follow(session, build.id, interrupts).await?;
    match (done, image.load) {
        (Done::Well, true) if is_archive => {
            load::load(session, build.id, &names.local, image.progress).await?;
        }
        (Done::Well, true) => load::pull(session, build.id, &names.local).await?,
        (Done::Well, false) | (Done::BuildFailed, _) => {}
    }
    Ok(done)
}

/// Follows the build to its end; an interrupt calls it off, and a second one lets it be.
async fn follow(session: &Session, build: Uuid, mut interrupts: Signal) -> Result<Done> {
    let mut following = pin!(logs::follow_build(session, build));
    tokio::select! {
        done = &mut following => return done,
        _ = interrupts.recv() => {}
    }
    session.output.note("Calling the build off")?;
    match session.client.cancel_build(build).await {
        // It is over already.
        Ok(_) | Err(ClientError::Api { status: 409, .. }) => {}
        Err(error) => return Err(error.into()),
    }
    tokio::select! {
        done = following => done,
        _ = interrupts.recv() => Ok(Done::BuildFailed),
    }
}

/// How the image is built, as it was typed.
fn spec(image: &Image, names: &Names, dockerfile: &str, date: Option<u32>) -> ImageSpec {
    let pair = |given: &Given| (given.name.clone(), given.value.clone());
    ImageSpec {
        dockerfile: dockerfile.to_owned(),
        target: image.target.clone(),
        args: image
            .args
            .iter()
            .filter_map(|text| argument(text))
            .collect(),
        labels: image.labels.iter().map(pair).collect(),
        no_cache: image.no_cache,
        pull: image.pull,
        repository: names.repository.clone(),
        tags: names.tags.clone(),
        platforms: image.platforms.clone(),
        secrets: image
            .secrets
            .iter()
            .map(|secret| (secret.id.clone(), secret.variable.clone()))
            .collect(),
        source_date: date.map(SourceDate::Seconds),
        archive: Vec::new(),
    }
}

/// A build argument; one without a value has that of the environment, or is not given at all.
fn argument(text: &str) -> Option<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((text.to_owned(), std::env::var(text).ok()?)),
    }
}

fn source_date(text: Option<String>) -> Result<Option<u32>> {
    let Some(text) = text else { return Ok(None) };
    match text.parse() {
        Ok(seconds) => Ok(Some(seconds)),
        Err(_) => bail!("{SOURCE_DATE} is {text:?}, and not a number of seconds since 1970"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_without_a_value_has_that_of_the_environment() {
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(argument("A=b=c"), pair("A", "b=c"));
        assert_eq!(argument("A="), pair("A", ""));
        assert_eq!(argument("SLIPWAY_NOT_SET_ANYWHERE"), None);
        let path = std::env::var("PATH").unwrap();
        assert_eq!(argument("PATH"), pair("PATH", &path));
    }

    #[test]
    fn a_source_date_is_a_number() {
        assert_eq!(source_date(None).unwrap(), None);
        assert_eq!(source_date(Some("12".to_owned())).unwrap(), Some(12));
        assert!(source_date(Some("now".to_owned())).is_err());
    }
}

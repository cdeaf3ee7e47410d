//! `slipway build DIRECTORY`: uploads a build context, builds it on the farm, follows the build, and
//! with --load puts the image into the local Docker Engine.

mod image_names;
mod load;
mod progress_bar;
mod upload;

use std::path::Path;
use std::pin::pin;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use slipway_build_context::{Context, FileModes, KeepIgnored, Packing};
use slipway_client::{BuildToCheck, ClientError, ImageSpec, SourceBuild, SourceDate};
use tokio::signal::unix::{Signal, SignalKind, signal};
use uuid::Uuid;

use self::image_names::ImageNames;
use crate::args::{Image, NameValue};
use crate::commands::{Outcome, Session, follow};
use crate::config::non_empty;

/// The variable with the creation time of images, as other build tools use it.
const SOURCE_DATE: &str = "SOURCE_DATE_EPOCH";

/// Builds a directory, and follows the build.
pub(crate) async fn build(
    session: &Session,
    directory: &Path,
    pipeline: Option<String>,
    image: Image,
) -> Result<Outcome> {
    let project = image.project.as_ref().context(
        "no project given in which to build the directory: use --project NAMESPACE/NAME, or set \
         SLIPWAY_PROJECT",
    )?;
    // Without --push the farm sends the image as an archive, which needs no registry.
    let is_archive = image.load && !image.push;
    if is_archive && image.platforms.len() > 1 {
        bail!(
            "--load without --push supports only one platform; with --push, the local engine pulls \
             the image of its own platform"
        );
    }
    let names = if is_archive {
        ImageNames::read_local(&image.tags, project)
    } else {
        ImageNames::read(&image.tags)?
    };
    let date = source_date(non_empty(SOURCE_DATE))?;
    let default_dockerfile = directory.join("Dockerfile");
    let dockerfile = image.file.as_deref().unwrap_or(&default_dockerfile);
    let context = Context::of_directory(directory, dockerfile)?;
    let packing = Packing {
        latest_change: date.map(|date| UNIX_EPOCH + Duration::from_secs(date.into())),
        keep: KeepIgnored::AllPatterns,
        modes: FileModes::Kept,
    };
    let mut spec = spec(&image, &names, context.dockerfile(), date);
    if is_archive {
        spec.archive.clone_from(&names.local);
    }
    if image.load {
        load::check().await?;
    }
    let client = &session.client;
    let checked = BuildToCheck {
        pipeline,
        image: spec,
        push: match (image.push, is_archive) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        },
    };
    // An invalid build should fail now and not after a long upload.
    client
        .check_build(&project.namespace, &project.name, &checked)
        .await?;
    let source = upload::upload(session, project, context, packing, image.progress).await?;
    // From here on Ctrl-C must cancel the build and not just end this program.
    let interrupts = signal(SignalKind::interrupt())?;
    let new = SourceBuild {
        source: source.id,
        pipeline: checked.pipeline,
        image: checked.image,
        push: checked.push,
    };
    let build = client
        .build_source(&project.namespace, &project.name, &new)
        .await?;
    let note = format!("Build {} of {}", build.id, build.project);
    session.output.note(&note)?;
    let outcome = follow(session, build.id, interrupts).await?;
    match (outcome, image.load) {
        (Outcome::Succeeded, true) if is_archive => {
            load::load(session, build.id, &names.local, image.progress).await?;
        }
        (Outcome::Succeeded, true) => load::pull(session, build.id, &names.local).await?,
        (Outcome::Succeeded, false) | (Outcome::BuildFailed, _) => {}
    }
    Ok(outcome)
}

/// Follows the build until it finishes. The first interrupt cancels it, a second one stops
/// following.
async fn follow(session: &Session, build: Uuid, mut interrupts: Signal) -> Result<Outcome> {
    let mut following = pin!(follow::follow_build(session, build));
    tokio::select! {
        done = &mut following => return done,
        _ = interrupts.recv() => {}
    }
    session.output.note("Canceling the build")?;
    match session.client.cancel_build(build).await {
        // 409: the build has just finished.
        Ok(_) | Err(ClientError::Api { status: 409, .. }) => {}
        Err(error) => return Err(error.into()),
    }
    tokio::select! {
        done = following => done,
        _ = interrupts.recv() => Ok(Outcome::BuildFailed),
    }
}

/// The image spec for the arguments.
fn spec(image: &Image, names: &ImageNames, dockerfile: &str, date: Option<u32>) -> ImageSpec {
    let pair = |label: &NameValue| (label.name.clone(), label.value.clone());
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

/// A build argument. One without a value takes it from the environment, and is left out if it is not
/// set there.
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
        Err(_) => bail!("{SOURCE_DATE} is {text:?}: expected a number of seconds since 1970"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_without_a_value_takes_it_from_the_environment() {
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(argument("A=b=c"), pair("A", "b=c"));
        assert_eq!(argument("A="), pair("A", ""));
        assert_eq!(argument("SLIPWAY_NOT_SET_ANYWHERE"), None);
        let path = std::env::var("PATH").unwrap();
        assert_eq!(argument("PATH"), pair("PATH", &path));
    }

    #[test]
    fn a_source_date_must_be_a_number() {
        assert_eq!(source_date(None).unwrap(), None);
        assert_eq!(source_date(Some("12".to_owned())).unwrap(), Some(12));
        assert!(source_date(Some("now".to_owned())).is_err());
    }
}

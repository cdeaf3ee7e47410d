//! Saves the container of a script as an image, for jobs that continue in it.

use bollard::models::ContainerConfig;
use bollard::query_parameters::CommitContainerOptions;
use slipway_image_builder::{BuildError, Builder, BuiltImage, Progress};
use tokio_util::sync::CancellationToken;

use crate::container::{container_name, upload};
use crate::error::ScriptError;
use crate::pack::empty_files;
use crate::request::ScriptRequest;

/// Commits the container that [`run`](crate::run) left as an image and pushes it to
/// [`ScriptRequest::save_as`]. Returns `None` if that is not set. [`Builder::remove_job`] deletes the
/// image from this engine.
///
/// The image keeps the environment, entry point and command of the image that the script ran in. Of
/// the files that the runner put into the container, only the work directory stays.
///
/// # Errors
/// Returns `Engine`, with `PushRefused` if the registry refuses the image.
pub async fn save_container(
    builder: &Builder,
    request: &ScriptRequest,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Option<BuiltImage>, ScriptError> {
    let Some((repository, tag)) = &request.save_as else {
        return Ok(None);
    };
    let name = repository.tagged(tag);
    progress.output(format!("Saving the container as {name}\n").as_bytes());
    // A cancel does not interrupt this: the engine would finish the commit anyway, and the image
    // would be left behind.
    let id = commit(builder, request).await?;
    let tags = [tag.clone()];
    let pushing = builder.push_image(&id, repository, &tags, &request.logins, progress);
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(BuildError::Canceled.into()),
        pushed = pushing => Ok(Some(pushed?)),
    }
}

/// Commits the container, with its labels. Returns the image's id.
async fn commit(builder: &Builder, request: &ScriptRequest) -> Result<String, ScriptError> {
    let engine = builder.engine();
    let container = container_name(builder, &request.job);
    // The script and the environment contain secrets.
    upload(builder, &container, empty_files()).await?;
    let image = engine.inspect_container(&container, None).await?.image;
    let image = engine.inspect_image(&image.unwrap_or_default()).await?;
    let ran_in = image.config.unwrap_or_default();
    let entrypoint = ran_in.entrypoint.unwrap_or_default();
    let mut cmd = ran_in.cmd.unwrap_or_default();
    if entrypoint.is_empty() && cmd.is_empty() {
        // If both are empty, the engine uses the container's own command, which is our script.
        cmd.push("sh".to_owned());
    }
    let config = ContainerConfig {
        entrypoint: Some(entrypoint),
        cmd: Some(cmd),
        ..ContainerConfig::default()
    };
    let (repo, tag) = builder.saved_name(&request.job);
    let options = CommitContainerOptions {
        container: Some(container),
        // Without a name the image could be pruned as dangling before it is pushed.
        repo: Some(repo),
        tag: Some(tag),
        pause: false,
        ..CommitContainerOptions::default()
    };
    Ok(engine.commit_container(options, config).await?.id)
}

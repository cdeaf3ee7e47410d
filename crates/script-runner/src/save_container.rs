//! Keeping the container of a script as an image, for jobs that go on from there.

use bollard::models::ContainerConfig;
use bollard::query_parameters::CommitContainerOptions;
use slipway_image_builder::{BuildError, Builder, BuiltImage, Progress};
use tokio_util::sync::CancellationToken;

use crate::container::{container_name, upload};
use crate::error::ScriptError;
use crate::pack::emptied;
use crate::request::ScriptRequest;

/// Makes an image of the container that [`run`](crate::run) left, and pushes it where the request
/// says; `None` when it is not to be kept. What is here of it goes with [`Builder::remove_job`].
///
/// Nothing that the runner put into the container stays in the image but the work directory, where
/// its containers begin: it has the variables, the entry point and the command of the image that
/// the script ran in.
///
/// # Errors
/// `Engine`, among them `PushRefused` when the registry does not take it.
pub async fn keep(
    builder: &Builder,
    request: &ScriptRequest,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Option<BuiltImage>, ScriptError> {
    let Some((repository, tag)) = &request.keep else {
        return Ok(None);
    };
    let name = repository.tagged(tag);
    progress.output(format!("Keeping the container as {name}\n").as_bytes());
    // This is waited for even if the job is canceled, as the engine goes on with it anyway.
    let id = commit(builder, request).await?;
    let tags = [tag.clone()];
    let pushing = builder.push_image(&id, repository, &tags, &request.logins, progress);
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(BuildError::Canceled.into()),
        pushed = pushing => Ok(Some(pushed?)),
    }
}

/// Makes the image, with the labels of the container; returns its id.
async fn commit(builder: &Builder, request: &ScriptRequest) -> Result<String, ScriptError> {
    let engine = builder.engine();
    let container = container_name(builder, &request.job);
    upload(builder, &container, emptied()).await?;
    let image = engine.inspect_container(&container, None).await?.image;
    let image = engine.inspect_image(&image.unwrap_or_default()).await?;
    let ran_in = image.config.unwrap_or_default();
    let entrypoint = ran_in.entrypoint.unwrap_or_default();
    let mut cmd = ran_in.cmd.unwrap_or_default();
    if entrypoint.is_empty() && cmd.is_empty() {
        // Where nothing is named the engine takes the container's own, which is our script.
        cmd.push("sh".to_owned());
    }
    let config = ContainerConfig {
        entrypoint: Some(entrypoint),
        cmd: Some(cmd),
        ..ContainerConfig::default()
    };
    let options = CommitContainerOptions {
        container: Some(container),
        // A name keeps the image from being pruned as dangling before it is pushed.
        repo: Some("slipway-job".to_owned()),
        tag: Some(format!("kept-{}-{}", builder.owner(), request.job)),
        pause: false,
        ..CommitContainerOptions::default()
    };
    Ok(engine.commit_container(options, config).await?.id)
}

//! Runs one script in a container.

use std::collections::HashMap;
use std::io::Read as _;

use bollard::body_try_stream;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{
    AttachContainerOptions, CreateContainerOptions, DownloadFromContainerOptions,
    UploadToContainerOptions, WaitContainerOptions,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use slipway_domain::Phase;
use slipway_image_builder::{BuildError, Builder, Progress, is_program_missing};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::disk_limit;
use crate::error::ScriptError;
use crate::pack::Pack;
use crate::pull;
use crate::request::ScriptRequest;
use crate::shell;

/// The directory of the checkout in the container, where the commands start.
pub const WORK_DIR: &str = "/slipway/work";
/// The script in the container.
const SCRIPT: &str = "/slipway/script";
/// The file with the number of the running command.
const POSITION: &str = "/slipway/at";
/// The file with the variables, for a script whose container is saved.
const ENVIRONMENT: &str = "/slipway/environment";

/// Runs the commands in a new container. The container stays for [`collect`](crate::collect) until
/// [`Builder::remove_job`] deletes it.
///
/// Canceling kills the container. Dropping this future leaves it running.
///
/// # Errors
/// See [`ScriptError`].
pub async fn run(
    builder: &Builder,
    request: &ScriptRequest,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<(), ScriptError> {
    let image = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(BuildError::Canceled.into()),
        pulled = pull::ensure_image(builder, request, progress) => pulled?,
    };
    progress.phase(Phase::Building);
    progress.output(format!("Running in {}\n", request.image).as_bytes());
    let name = container_name(builder, &request.job);
    // A cancel does not interrupt this: a container that is created later would be left behind.
    let network = builder.create_network(&request.job).await?;
    create(builder, request, (image, network), &name).await?;
    let mut cause = BuildError::Canceled.into();
    tokio::select! {
        biased;
        () = cancel.cancelled() => {}
        done = run_to_end(builder, request, &name, progress) => return done,
        error = disk_limit::exceeded(builder, &name) => cause = error,
    }
    if let Err(error) = builder.engine().kill_container(&name, None).await {
        // It was not started yet or has already ended. Cleaning up deletes it either way.
        tracing::debug!(%error, "Could not kill the container of job {}", request.job);
    }
    Err(cause)
}

/// The name of a job's container.
pub(crate) fn container_name(builder: &Builder, job: &str) -> String {
    builder.container_name("job", job)
}

async fn create(
    builder: &Builder,
    request: &ScriptRequest,
    (image, network): (String, Option<String>),
    name: &str,
) -> Result<(), ScriptError> {
    let options = CreateContainerOptions {
        name: Some(name.to_owned()),
        ..CreateContainerOptions::default()
    };
    let body = container(builder, request, image, network);
    builder
        .engine()
        .create_container(Some(options), body)
        .await?;
    Ok(())
}

async fn run_to_end(
    builder: &Builder,
    request: &ScriptRequest,
    name: &str,
    progress: &dyn Progress,
) -> Result<(), ScriptError> {
    let engine = builder.engine();
    let is_saved = request.save_as.is_some();
    let pack = Pack {
        checkout: request.checkout.clone(),
        script: shell::script(&request.commands, POSITION, is_saved.then_some(ENVIRONMENT)),
        environment: is_saved.then(|| shell::exports(&request.environment)),
    };
    upload(builder, name, pack.pack()).await?;
    // Attach before the start, so that no output is missed.
    let options = AttachContainerOptions {
        stream: true,
        stdout: true,
        stderr: true,
        ..AttachContainerOptions::default()
    };
    let AttachContainerResults { output, .. } =
        engine.attach_container(name, Some(options)).await?;
    let started = engine.start_container(name, None).await;
    started.map_err(|error| start_error(&request.image, error))?;
    copy_output(output, progress).await;
    result(builder, request, name).await
}

/// Uploads an archive in pieces. The engine unpacks it at the container's root.
pub(crate) async fn upload(
    builder: &Builder,
    name: &str,
    mut pieces: mpsc::Receiver<std::io::Result<Bytes>>,
) -> Result<(), ScriptError> {
    let pieces = futures_util::stream::poll_fn(move |task| pieces.poll_recv(task));
    let options = UploadToContainerOptions {
        path: "/".to_owned(),
        ..UploadToContainerOptions::default()
    };
    let engine = builder.engine();
    Ok(engine
        .upload_to_container(name, Some(options), body_try_stream(pieces))
        .await?)
}

/// The container's settings: a network of its own, as few privileges as the operator allows, and
/// nothing of the host.
fn container(
    builder: &Builder,
    request: &ScriptRequest,
    image: String,
    network: Option<String>,
) -> ContainerCreateBody {
    // Committing a container stores its variables in the image, where secrets would leak. A container
    // that is saved therefore gets none; its script reads them from a file.
    let variables = match request.save_as {
        Some(_) => [].as_slice(),
        None => request.environment.as_slice(),
    };
    // If a name occurred twice, the libc of the image could return the first value.
    let environment: HashMap<&str, &str> = variables
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let environment = environment
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"));
    let limits = builder.limits();
    let signed = |limit: Option<u64>| limit.and_then(|limit| limit.try_into().ok());
    let memory = signed(limits.memory_bytes);
    let confinement = builder.confinement();
    let capabilities = confinement.capabilities.clone();
    ContainerCreateBody {
        image: Some(image),
        entrypoint: Some(vec!["sh".to_owned()]),
        cmd: Some(vec![SCRIPT.to_owned()]),
        working_dir: Some(WORK_DIR.to_owned()),
        env: Some(environment.collect()),
        labels: Some(builder.labels(&request.job)),
        host_config: Some(HostConfig {
            // The output is in the trace, so the engine need not store it as well.
            log_config: Some(HostConfigLogConfig {
                typ: Some("none".to_owned()),
                config: None,
            }),
            memory,
            // This limit includes swap, so equal values mean no swap.
            memory_swap: memory,
            nano_cpus: signed(limits.nano_cpus),
            pids_limit: confinement.max_processes.map(i64::from),
            cap_drop: capabilities.is_some().then(|| vec!["ALL".to_owned()]),
            cap_add: capabilities,
            security_opt: (!confinement.new_privileges)
                .then(|| vec!["no-new-privileges".to_owned()]),
            network_mode: network,
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

fn start_error(image: &str, error: Error) -> ScriptError {
    // The engine has no error code for a missing program. Its own files can be missing too.
    if is_program_missing(&error.to_string()) {
        ScriptError::NoShell {
            image: image.to_owned(),
        }
    } else {
        error.into()
    }
}

/// Copies the output to the trace until the container ends or the connection is lost.
async fn copy_output(
    mut output: impl futures_util::Stream<Item = Result<LogOutput, Error>> + Unpin,
    progress: &dyn Progress,
) {
    let mut ends_line = true;
    while let Some(piece) = output.next().await {
        match piece {
            Ok(piece) => {
                let bytes = piece.into_bytes();
                ends_line = bytes.last().is_none_or(|last| *last == b'\n');
                progress.output(&bytes);
            }
            Err(error) => {
                tracing::warn!(%error, "Lost the connection to the output of a container");
                progress.output(
                    b"\nThe rest of the output was lost: the connection to the engine was interrupted\n",
                );
                return;
            }
        }
    }
    if !ends_line {
        progress.output(b"\n");
    }
}

/// Waits until the container has ended, and returns its result.
async fn result(builder: &Builder, request: &ScriptRequest, name: &str) -> Result<(), ScriptError> {
    let engine = builder.engine();
    let mut waiting = std::pin::pin!(engine.wait_container(name, None::<WaitContainerOptions>));
    while let Some(answer) = waiting.next().await {
        match answer {
            // The client library reports an exit code above 0 as an error.
            Ok(_) | Err(Error::DockerContainerWaitError { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let state = engine.inspect_container(name, None).await?.state;
    let state = state.unwrap_or_default();
    let code = state.exit_code.unwrap_or(-1);
    if code == 0 {
        return Ok(());
    }
    // The commands may have deleted the file. Its content only decorates the message.
    let position = match read_position(builder, name).await {
        Ok(position) => position,
        Err(error) => {
            tracing::debug!(%error, "Could not read which command of job {} failed", request.job);
            return Err(ScriptError::UnknownCommandFailed { code });
        }
    };
    Err(match shell::last_command(&request.commands, &position) {
        None => ScriptError::NotStarted {
            image: request.image.clone(),
            code,
        },
        Some(command) if state.oom_killed == Some(true) => ScriptError::OutOfMemory {
            command: command.to_owned(),
            code,
            limit_mb: builder.limits().memory_bytes.map(|bytes| bytes >> 20),
        },
        Some(command) => ScriptError::CommandFailed {
            command: command.to_owned(),
            code,
        },
    })
}

/// The content of [`POSITION`].
async fn read_position(builder: &Builder, name: &str) -> Result<String, ScriptError> {
    const MAX_BYTES: usize = 64 * 1024;
    let options = DownloadFromContainerOptions {
        path: POSITION.to_owned(),
    };
    let mut archive = Vec::new();
    let mut pieces = std::pin::pin!(
        builder
            .engine()
            .download_from_container(name, Some(options))
    );
    while let Some(piece) = pieces.try_next().await? {
        archive.extend_from_slice(&piece);
        // The commands can write to the file, so its size is not trusted.
        if archive.len() > MAX_BYTES {
            return Ok(String::new());
        }
    }
    let mut text = String::new();
    let mut archive = tar::Archive::new(archive.as_slice());
    if let Some(entry) = archive.entries()?.next() {
        let mut bytes = Vec::new();
        entry?.read_to_end(&mut bytes)?;
        text = String::from_utf8_lossy(&bytes).into_owned();
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_shell_is_the_fault_of_the_image() {
        let started = |message: &str| {
            let error = Error::DockerResponseServerError {
                status_code: 500,
                message: message.to_owned(),
            };
            start_error("alpine", error)
        };
        let no_shell = started(
            "failed to create shim task: OCI runtime create failed: runc create failed: unable to \
             start container process: exec: \"sh\": executable file not found in $PATH: unknown",
        );
        assert!(
            matches!(no_shell, ScriptError::NoShell { .. }),
            "{no_shell}"
        );
        for message in [
            "failed to create shim task: OCI runtime create failed: unable to retrieve OCI runtime \
             error (open /run/log.json: no such file or directory): runc did not terminate \
             successfully: exit status 1: unknown",
            "failed to create endpoint a on network bridge: adding interface veth1 to bridge \
             docker0 failed: could not find bridge docker0: route ip+net: no such network interface",
            "failed to create shim task: exec: \"runc\": executable file not found in $PATH",
        ] {
            let error = started(message);
            assert!(
                matches!(&error, ScriptError::Engine(BuildError::HostFailed { .. })),
                "{error}"
            );
        }
    }
}

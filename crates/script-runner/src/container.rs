//! One script from beginning to end.

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
use slipway_image_builder::{BuildError, Builder, Progress};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::disk_limit;
use crate::error::ScriptError;
use crate::pack::Pack;
use crate::pull;
use crate::request::ScriptRequest;
use crate::shell;

/// Where the checkout is in the container; the commands begin there.
pub const WORK_DIR: &str = "/slipway/work";
/// The script in the container.
const SCRIPT: &str = "/slipway/script";
/// The file that says which command runs.
const AT: &str = "/slipway/at";
/// The file that has the variables of a script whose container is kept.
const ENVIRONMENT: &str = "/slipway/environment";

/// Runs the commands in a container of their own. The container stays for
/// [`collect`](crate::collect) to look into, until [`Builder::remove_job`] removes it.
///
/// Canceling kills what runs. Dropping this future leaves the container running.
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
        had = pull::have(builder, request, progress) => had?,
    };
    progress.phase(Phase::Building);
    progress.output(format!("Running in {}\n", request.image).as_bytes());
    let name = container_name(builder, &request.job);
    // This is waited for even if the job is canceled: a container that comes into being later
    // would be left behind.
    create(builder, request, image, &name).await?;
    let mut ended = BuildError::Canceled.into();
    tokio::select! {
        biased;
        () = cancel.cancelled() => {}
        done = run_to_end(builder, request, &name, progress) => return done,
        error = disk_limit::watch(builder, &name) => ended = error,
    }
    if let Err(error) = builder.engine().kill_container(&name, None).await {
        // It had not begun, or has ended by itself; what is left is removed like all else.
        tracing::debug!(%error, "The container of job {} was not killed", request.job);
    }
    Err(ended)
}

/// The container's name, by which it is found again.
pub(crate) fn container_name(builder: &Builder, job: &str) -> String {
    builder.container_name("job", job)
}

async fn create(
    builder: &Builder,
    request: &ScriptRequest,
    image: String,
    name: &str,
) -> Result<(), ScriptError> {
    let options = CreateContainerOptions {
        name: Some(name.to_owned()),
        ..CreateContainerOptions::default()
    };
    let body = container(builder, request, image);
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
    let kept = request.keep.as_ref();
    let pack = Pack {
        checkout: request.checkout.clone(),
        script: shell::script(&request.commands, AT, kept.map(|_| ENVIRONMENT)),
        environment: kept.map(|_| shell::exports(&request.environment)),
    };
    upload(builder, name, pack.pack()).await?;
    // Whoever listens before the beginning misses nothing.
    let options = AttachContainerOptions {
        stream: true,
        stdout: true,
        stderr: true,
        ..AttachContainerOptions::default()
    };
    let AttachContainerResults { output, .. } =
        engine.attach_container(name, Some(options)).await?;
    let started = engine.start_container(name, None).await;
    started.map_err(|error| not_started(&request.image, error))?;
    narrate(output, progress).await;
    ended(builder, request, name).await
}

/// Unpacks the archive of these pieces at the container's root.
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

/// The container: the engine's usual network, nothing of the host, and no more rights than usual.
fn container(builder: &Builder, request: &ScriptRequest, image: String) -> ContainerCreateBody {
    // The engine writes the variables of a container into the image that is made of it, so one that
    // is kept has none but its image's: the script reads ours from a file.
    let told = match request.keep {
        Some(_) => [].as_slice(),
        None => request.environment.as_slice(),
    };
    // Of a name that comes twice an image's libc may see the first.
    let environment: HashMap<&str, &str> = told
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let environment = environment
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"));
    let limits = builder.limits();
    let signed = |limit: Option<u64>| limit.and_then(|limit| limit.try_into().ok());
    let memory = signed(limits.memory_bytes);
    ContainerCreateBody {
        image: Some(image),
        entrypoint: Some(vec!["sh".to_owned()]),
        cmd: Some(vec![SCRIPT.to_owned()]),
        working_dir: Some(WORK_DIR.to_owned()),
        env: Some(environment.collect()),
        labels: Some(builder.labels(&request.job)),
        host_config: Some(HostConfig {
            // The output is in the trace; the engine need not keep it as well.
            log_config: Some(HostConfigLogConfig {
                typ: Some("none".to_owned()),
                config: None,
            }),
            memory,
            // With swap it is as much: what is beyond the limit is not swapped out.
            memory_swap: memory,
            nano_cpus: signed(limits.nano_cpus),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

fn not_started(image: &str, error: Error) -> ScriptError {
    let message = error.to_string();
    let no_shell = ["executable file not found", "no such file or directory"];
    match no_shell.iter().any(|words| message.contains(words)) {
        true => ScriptError::NoShell {
            image: image.to_owned(),
        },
        false => error.into(),
    }
}

/// Passes the output on as it comes, until the container ends or the connection does.
async fn narrate(
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
                tracing::warn!(%error, "The output of a container broke off");
                progress.output(
                    b"\nThe rest of the output was lost: the connection to the engine broke\n",
                );
                return;
            }
        }
    }
    if !ends_line {
        progress.output(b"\n");
    }
}

/// Waits for the container's end, and says how it ended.
async fn ended(builder: &Builder, request: &ScriptRequest, name: &str) -> Result<(), ScriptError> {
    let engine = builder.engine();
    let mut waiting = std::pin::pin!(engine.wait_container(name, None::<WaitContainerOptions>));
    while let Some(answer) = waiting.next().await {
        match answer {
            // An exit code above 0 is told as an error.
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
    let at = read_text(builder, name).await?;
    Err(match shell::last_command(&request.commands, &at) {
        None => ScriptError::NotBegun {
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

/// The text of [`AT`].
async fn read_text(builder: &Builder, name: &str) -> Result<String, ScriptError> {
    const MOST: usize = 64 * 1024;
    let options = DownloadFromContainerOptions {
        path: AT.to_owned(),
    };
    let mut archive = Vec::new();
    let mut pieces = std::pin::pin!(
        builder
            .engine()
            .download_from_container(name, Some(options))
    );
    while let Some(piece) = pieces.try_next().await? {
        archive.extend_from_slice(&piece);
        // The commands can write there too.
        if archive.len() > MOST {
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

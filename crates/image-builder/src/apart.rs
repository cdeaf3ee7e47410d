//! One build request in a runtime of its own, which ends with it.
//!
//! The client serves a BuildKit session in a task that it detaches, and that lives as long as the
//! engine leaves the connection open: for ever. In a runtime of its own it goes with the build.
//! It also makes canceling certain, since no connection of the build outlives the runtime.

use std::collections::HashMap;
use std::io;

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::BuildInfo;
use bollard::query_parameters::BuildImageOptions;
use bollard::{Docker, body_try_stream};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use crate::builder::ANSWER_LIMIT;

/// How many messages wait for the reader; beyond them the engine waits.
const MESSAGES: usize = 64;

/// Sends the request, with `limits` added to its query; what the engine answers comes out of the channel. Dropping the channel
/// closes the connection, and with that the engine stops the build.
pub(crate) fn build(
    options: BuildImageOptions,
    logins: HashMap<String, DockerCredentials>,
    context: mpsc::Receiver<io::Result<Bytes>>,
    limits: Option<String>,
) -> io::Result<mpsc::Receiver<Result<BuildInfo, Error>>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (sender, messages) = mpsc::channel(MESSAGES);
    std::thread::Builder::new()
        .name("image-build".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = sender.closed() => {}
                    () = forward(options, logins, context, limits, &sender) => {}
                }
            });
            runtime.shutdown_background();
        })?;
    Ok(messages)
}

async fn forward(
    options: BuildImageOptions,
    logins: HashMap<String, DockerCredentials>,
    mut context: mpsc::Receiver<io::Result<Bytes>>,
    limits: Option<String>,
    sender: &mpsc::Sender<Result<BuildInfo, Error>>,
) {
    let docker = match Docker::connect_with_defaults() {
        Ok(docker) => docker.with_timeout(ANSWER_LIMIT).negotiate_version().await,
        Err(error) => Err(error),
    };
    let docker = match docker {
        Ok(docker) => docker,
        Err(error) => return drop(sender.send(Err(error)).await),
    };
    let docker = match limits {
        Some(limits) => with_query(docker, limits),
        None => docker,
    };
    let body = futures_util::stream::poll_fn(move |task| context.poll_recv(task));
    let mut answer = docker
        .build_image(options, Some(logins), Some(body_try_stream(body)))
        .boxed();
    while let Some(message) = answer.next().await {
        if sender.send(message).await.is_err() {
            return;
        }
    }
}

/// The client with `words` added to the query of what it asks: its own options have no room for a
/// limit of more than 2 GiB.
fn with_query(docker: Docker, words: String) -> Docker {
    docker.with_request_modifier(move |mut request| {
        let uri = format!("{}&{words}", request.uri());
        if let Ok(uri) = uri.parse() {
            *request.uri_mut() = uri;
        }
        request
    })
}

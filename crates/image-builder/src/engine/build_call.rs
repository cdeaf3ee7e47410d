//! One build request on a connection of its own, and what the engine answers.

use std::collections::HashMap;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::BuildInfo;
use bollard::query_parameters::BuildImageOptions;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use futures_util::stream::poll_fn;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::context::Packed;
use crate::engine::endpoint::Endpoint;

/// The body of a request.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A build request as it goes to the engine.
pub(crate) struct Call<'a> {
    /// Where the engine is.
    pub(crate) endpoint: &'a Endpoint,
    /// The version of its interface, such as `1.41`.
    pub(crate) version: String,
    /// What is built.
    pub(crate) options: BuildImageOptions,
    /// What else its query has, in the words of the engine.
    pub(crate) limits: Option<String>,
    /// The logins, for a builder that takes them with the request and not from a session.
    pub(crate) logins: HashMap<String, DockerCredentials>,
    /// The build context, for a builder that takes an archive and does not ask in a session.
    pub(crate) context: Option<Packed>,
}

impl Call<'_> {
    /// Sends the request, and hands what the engine answers to `take` until the build has ended.
    /// When this future is dropped the engine stops the build.
    pub(crate) async fn run(self, mut take: impl FnMut(BuildInfo) + Send) -> Result<(), Error> {
        let stream = self.endpoint.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let body = match self.context {
            Some(mut context) => {
                let pieces = poll_fn(move |task| context.poll_recv(task));
                StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync()
            }
            None => Empty::new().map_err(|never| match never {}).boxed_unsync(),
        };
        let mut query = serde_urlencoded::to_string(&self.options)?;
        if let Some(limits) = &self.limits {
            query = format!("{query}&{limits}");
        }
        let logins = URL_SAFE.encode(serde_json::to_vec(&self.logins)?);
        let request = Request::post(format!("/v{}/build?{query}", self.version))
            .header("host", "docker")
            .header("content-type", "application/x-tar")
            .header("x-registry-config", logins)
            .body(body)?;
        let answer = async move {
            let response = succeeded(sender.send_request(request).await?).await?;
            read(response.into_body(), &mut take).await
        };
        // The connection moves while its answer is read.
        tokio::select! {
            biased;
            answer = answer => answer,
            error = async {
                if let Err(error) = connection.await {
                    return error;
                }
                std::future::pending().await
            } => Err(error.into()),
        }
    }
}

/// The response, unless the engine refused.
pub(crate) async fn succeeded(response: Response<Incoming>) -> Result<Response<Incoming>, Error> {
    let status = response.status();
    if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    let body = response.into_body().collect().await?.to_bytes();
    let told: Option<HashMap<String, String>> = serde_json::from_slice(&body).ok();
    let told = told.and_then(|mut told| told.remove("message"));
    Err(Error::DockerResponseServerError {
        status_code: status.as_u16(),
        message: told.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned()),
    })
}

/// Reads the messages, one a line, until the answer ends or tells that the build failed.
async fn read(mut body: Incoming, take: &mut impl FnMut(BuildInfo)) -> Result<(), Error> {
    let mut text = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else {
            continue;
        };
        let mut looked_at = text.len();
        text.extend_from_slice(&piece);
        while let Some(at) = text[looked_at..].iter().position(|byte| *byte == b'\n') {
            let line = text.split_to(looked_at + at + 1);
            looked_at = 0;
            message(&line, take)?;
        }
    }
    message(&text, take)
}

fn message(line: &[u8], take: &mut impl FnMut(BuildInfo)) -> Result<(), Error> {
    if line.trim_ascii().is_empty() {
        return Ok(());
    }
    let info: BuildInfo = serde_json::from_slice(line)?;
    match info.error_detail.and_then(|detail| detail.message) {
        Some(error) => Err(Error::DockerStreamError { error }),
        None => {
            take(BuildInfo {
                error_detail: None,
                ..info
            });
            Ok(())
        }
    }
}

//! One build request on a connection of its own, and the messages that the engine answers with.

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

use crate::builder::Builder;
use crate::context::PackedContext;
use crate::engine::endpoint::Endpoint;

/// The body of a request to the engine.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A build request.
pub(crate) struct BuildCall<'a> {
    endpoint: &'a Endpoint,
    api_version: String,
    options: BuildImageOptions,
    /// Query parameters for the resource limits, which `options` lacks.
    limits: Option<String>,
    /// Logins for the classic builder; BuildKit gets them from the session.
    logins: HashMap<String, DockerCredentials>,
    /// The build context as an archive, unless BuildKit gets the files from the session.
    context: Option<PackedContext>,
}

impl Builder {
    /// Prepares a build request; nothing is sent yet.
    pub(crate) fn build_call(
        &self,
        options: BuildImageOptions,
        logins: HashMap<String, DockerCredentials>,
        context: Option<PackedContext>,
    ) -> BuildCall<'_> {
        let limits = self.limits().query();
        BuildCall {
            endpoint: self.endpoint(),
            api_version: self.api_version(),
            options,
            limits: (self.limits_builds() && !limits.is_empty()).then_some(limits),
            logins,
            context,
        }
    }
}

impl BuildCall<'_> {
    /// Sends the request, and passes each message of the engine to `on_message` until the build
    /// ends. Dropping this future stops the build: it closes the connection.
    pub(crate) async fn run(
        self,
        mut on_message: impl FnMut(BuildInfo) + Send,
    ) -> Result<(), Error> {
        let stream = self.endpoint.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let body = match self.context {
            Some(mut context) => {
                let chunks = poll_fn(move |task| context.poll_recv(task));
                StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync()
            }
            None => Empty::new().map_err(|never| match never {}).boxed_unsync(),
        };
        let mut query = serde_urlencoded::to_string(&self.options)?;
        if let Some(limits) = &self.limits {
            query = format!("{query}&{limits}");
        }
        let logins = URL_SAFE.encode(serde_json::to_vec(&self.logins)?);
        let request = Request::post(format!("/v{}/build?{query}", self.api_version))
            .header("host", "docker")
            .header("content-type", "application/x-tar")
            .header("x-registry-config", logins)
            .body(body)?;
        let answer = async move {
            let response = check_status(sender.send_request(request).await?).await?;
            read_messages(response.into_body(), &mut on_message).await
        };
        // The connection makes progress only while it is polled together with its answer.
        tokio::select! {
            biased;
            answer = answer => answer,
            error = async {
                if let Err(error) = connection.await {
                    return error;
                }
                // A clean end is no error: the rest of the answer is read first.
                std::future::pending().await
            } => Err(error.into()),
        }
    }
}

/// Returns the response if its status is a success, and the engine's error message otherwise.
pub(crate) async fn check_status(
    response: Response<Incoming>,
) -> Result<Response<Incoming>, Error> {
    let status = response.status();
    if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    let body = response.into_body().collect().await?.to_bytes();
    let json: Option<HashMap<String, String>> = serde_json::from_slice(&body).ok();
    let message = json.and_then(|mut json| json.remove("message"));
    Err(Error::DockerResponseServerError {
        status_code: status.as_u16(),
        message: message.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned()),
    })
}

/// Reads the messages, one per line, until the body ends or a message reports a failed build.
async fn read_messages(
    mut body: Incoming,
    on_message: &mut impl FnMut(BuildInfo),
) -> Result<(), Error> {
    let mut text = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame?.into_data() else {
            continue;
        };
        // A line may span many frames: only the new bytes are searched for its end.
        let mut searched = text.len();
        text.extend_from_slice(&chunk);
        while let Some(at) = text[searched..].iter().position(|byte| *byte == b'\n') {
            let line = text.split_to(searched + at + 1);
            searched = 0;
            read_message(&line, on_message)?;
        }
    }
    read_message(&text, on_message)
}

/// Reads one line of an answer, and passes its message on unless it reports a failed build.
pub(crate) fn read_message(
    line: &[u8],
    on_message: &mut impl FnMut(BuildInfo),
) -> Result<(), Error> {
    if line.trim_ascii().is_empty() {
        return Ok(());
    }
    let info: BuildInfo = serde_json::from_slice(line)?;
    let detail = info.error_detail.and_then(|detail| detail.message);
    match detail.or_else(|| bare_error(line)) {
        Some(error) => Err(Error::DockerStreamError { error }),
        None => {
            on_message(BuildInfo {
                error_detail: None,
                ..info
            });
            Ok(())
        }
    }
}

/// The error of a message in its deprecated form, the only one of some versions of Podman.
fn bare_error(line: &[u8]) -> Option<String> {
    // Almost no message is an error, and some are long.
    if !line.starts_with(b"{\"error\":") {
        return None;
    }
    let mut members: HashMap<String, serde_json::Value> = serde_json::from_slice(line).ok()?;
    members.remove("error")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_found_in_both_of_its_forms() {
        for line in [
            r#"{"errorDetail":{"message":"sad"},"error":"sad"}"#,
            r#"{"error":"sad"}"#,
        ] {
            let read = read_message(line.as_bytes(), &mut |_| panic!("{line}"));
            assert!(
                matches!(&read, Err(Error::DockerStreamError { error }) if error == "sad"),
                "{line}: {read:?}"
            );
        }
        let mut count = 0;
        read_message(br#"{"stream":"{\"error\":1}"}"#, &mut |_| count += 1).unwrap();
        assert_eq!(count, 1);
    }
}

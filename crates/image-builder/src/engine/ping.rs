//! Asking the engine whether it is there.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;

use crate::builder::Builder;
use crate::engine::build_call::check_status;
use crate::engine::endpoint::Endpoint;
use crate::engine::failures::engine_error;
use crate::error::BuildError;

/// How long the engine may take to answer. A busy engine still answers within a second or two.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Builder {
    /// Checks that the engine answers.
    ///
    /// # Errors
    /// `EngineUnavailable` if it does not.
    pub async fn check(&self) -> Result<(), BuildError> {
        self.endpoint().ping().await
    }
}

impl Endpoint {
    /// Checks that a Docker Engine, or something with its API, answers.
    ///
    /// # Errors
    /// `EngineUnavailable`, with advice for an address at which something else listens.
    pub(crate) async fn ping(&self) -> Result<(), BuildError> {
        match tokio::time::timeout(TIMEOUT, self.try_ping()).await {
            Ok(result) => result,
            Err(_) => {
                let seconds = TIMEOUT.as_secs();
                Err(unavailable(format!(
                    "{self:?} did not answer within {seconds} s"
                )))
            }
        }
    }

    async fn try_ping(&self) -> Result<(), BuildError> {
        let stream = self
            .connect()
            .await
            .map_err(|error| unavailable(self.connect_error(&error)))?;
        let not_engine = |_: hyper::Error| {
            unavailable(format!(
                "what listens at {self:?} does not speak the API of the Docker Engine; DOCKER_HOST \
                 must name the socket of a Docker Engine or of Podman, not one of containerd or \
                 BuildKit"
            ))
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(not_engine)?;
        let request = Request::get("/_ping")
            .header("host", "docker")
            .body(Empty::<Bytes>::new())
            .map_err(|error| unavailable(error.to_string()))?;
        // The connection makes progress only while it is polled together with its answer.
        let answer = async move { sender.send_request(request).await };
        let answer = async {
            tokio::select! {
                biased;
                answer = answer => answer,
                Err(error) = connection => Err(error),
            }
        };
        let answer = answer.await.map_err(not_engine)?;
        if answer.status() == StatusCode::OK {
            return Ok(());
        }
        // The engine reports a fault of its own in the same way as for any other request.
        check_status(answer).await.map(drop).map_err(engine_error)
    }

    /// Why there is no connection, and what to do about it.
    fn connect_error(&self, error: &io::Error) -> String {
        let advice = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                "; is it running, and is DOCKER_HOST right?"
            }
            io::ErrorKind::PermissionDenied => "; the user of this program may not use it",
            _ => "",
        };
        format!("could not connect to {self:?}: {error}{advice}")
    }
}

fn unavailable(detail: String) -> BuildError {
    BuildError::EngineUnavailable { detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    /// The result of a ping to a socket whose server sends `answer` to whatever it gets.
    async fn ping_answered_with(answer: &'static [u8]) -> Result<(), BuildError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("engine.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(answer).await.unwrap();
        };
        let endpoint = Endpoint::Unix(path.clone());
        let (result, ()) = tokio::join!(endpoint.ping(), serve);
        result
    }

    #[tokio::test]
    async fn an_engine_answers_and_other_servers_are_named_as_such() {
        let ok = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK";
        ping_answered_with(ok).await.unwrap();
        // The SETTINGS frame with which a gRPC server begins, and a server that only hangs up.
        let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0";
        for other in [settings.as_slice(), b""] {
            let error = ping_answered_with(other).await.unwrap_err().to_string();
            assert!(error.contains("not one of containerd"), "{error}");
        }
        let broken = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 17\r\n\r\n{\"message\":\"sad\"}";
        let error = ping_answered_with(broken).await.unwrap_err().to_string();
        assert!(error.ends_with("failed: sad"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_socket_is_named() {
        let error = Endpoint::Unix("/nowhere.sock".into()).ping().await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("unix:///nowhere.sock"), "{error}");
        assert!(error.contains("is it running"), "{error}");
    }
}

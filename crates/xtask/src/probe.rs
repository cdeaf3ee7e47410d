//! Checks whether a service answers, with just enough HTTP for that and a timeout.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::process::{ChildProcess, last_lines};

/// Timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends a request without a body to a loopback port and returns the status.
pub(crate) async fn http(port: u16, method: &str, path: &str) -> Result<u16> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    request_status(stream, method, path).await
}

/// Checks whether a Docker Engine answers at the address that its clients use.
pub(crate) async fn docker() -> Result<()> {
    let host = std::env::var("DOCKER_HOST")
        .ok()
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    docker_at(&host).await
}

/// Checks whether a Docker Engine answers at this address.
pub(crate) async fn docker_at(host: &str) -> Result<()> {
    let status = if let Some(path) = host.strip_prefix("unix://") {
        let stream = UnixStream::connect(path).await;
        request_status(stream.context(path.to_owned())?, "GET", "/_ping").await?
    } else if let Some(address) = host.strip_prefix("tcp://") {
        let stream = TcpStream::connect(address).await;
        request_status(stream.context(address.to_owned())?, "GET", "/_ping").await?
    } else {
        bail!("DOCKER_HOST={host} is neither unix:// nor tcp://");
    };
    match status {
        200 => Ok(()),
        status => bail!("{host} answered with status {status}"),
    }
}

async fn request_status(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
) -> Result<u16> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let answer = async {
        stream.write_all(request.as_bytes()).await?;
        let mut start = [0; 12];
        stream.read_exact(&mut start).await?;
        Ok::<_, std::io::Error>(start)
    };
    let start = tokio::time::timeout(TIMEOUT, answer).await??;
    std::str::from_utf8(&start)?
        .strip_prefix("HTTP/1.1 ")
        .and_then(|status| status.parse().ok())
        .context("the response is not HTTP/1.1")
}

/// Waits until `ready` succeeds, for at most `limit`.
///
/// Services do not report that they are ready, so this polls.
///
/// # Errors
/// If the process ends or the limit passes, with the last error and the end of the log.
pub(crate) async fn until_ready<F>(
    running: &mut ChildProcess,
    log: &std::path::Path,
    limit: Duration,
    ready: impl Fn() -> F,
) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let end = Instant::now() + limit;
    loop {
        let Err(reason) = ready().await else {
            return Ok(());
        };
        let alive = running.check();
        if alive.is_err() || Instant::now() > end {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            let reason = alive.err().unwrap_or(reason);
            return Err(reason.context(last_lines(&log)));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

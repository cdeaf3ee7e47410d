//! Asking whether a service answers: just enough HTTP for that, and a limit on patience.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::process::{Running, last_lines};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The status that a loopback port answers to a request without a body.
pub(crate) async fn http(port: u16, method: &str, path: &str) -> Result<u16> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    ask(stream, method, path).await
}

/// Whether a Docker Engine answers where its clients would look for it.
pub(crate) async fn docker() -> Result<()> {
    let host = std::env::var("DOCKER_HOST")
        .ok()
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    let status = if let Some(path) = host.strip_prefix("unix://") {
        let stream = UnixStream::connect(path).await;
        ask(stream.context(path.to_owned())?, "GET", "/_ping").await?
    } else if let Some(address) = host.strip_prefix("tcp://") {
        let stream = TcpStream::connect(address).await;
        ask(stream.context(address.to_owned())?, "GET", "/_ping").await?
    } else {
        bail!("DOCKER_HOST={host} is neither unix:// nor tcp://");
    };
    match status {
        200 => Ok(()),
        status => bail!("{host} answers {status}"),
    }
}

async fn ask(
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
    let start = tokio::time::timeout(PATIENCE, answer).await??;
    std::str::from_utf8(&start)?
        .strip_prefix("HTTP/1.1 ")
        .and_then(|status| status.parse().ok())
        .context("the answer is not HTTP/1.1")
}

/// Waits until `ready` succeeds, while `running` runs, for at most `limit`.
///
/// Services have no other way to say that they are ready, so this asks again and again.
///
/// # Errors
/// When the process ends or the limit passes, with the last reason and the end of its log.
pub(crate) async fn until_ready<F>(
    running: &mut Running,
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
        let gone = running.check();
        if gone.is_err() || Instant::now() > end {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            let reason = gone.err().unwrap_or(reason);
            return Err(reason.context(last_lines(&said)));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

//! A runner that only claims, on one connection, with as little work as possible.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A version of the runner protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    V1,
    V4,
}

impl Protocol {
    pub(crate) const ALL: [Self; 2] = [Self::V1, Self::V4];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V4 => "v4",
        }
    }

    fn register(self) -> &'static str {
        match self {
            Self::V1 => "/ci/api/v1/runners/register.json",
            Self::V4 => "/api/v4/runners",
        }
    }

    fn claim(self) -> &'static str {
        match self {
            Self::V1 => "/ci/api/v1/builds/register.json",
            Self::V4 => "/api/v4/jobs/request",
        }
    }
}

pub(crate) struct Runner {
    connection: TcpStream,
    /// The bytes of the request for a job.
    request: Vec<u8>,
    received: Vec<u8>,
}

impl Runner {
    /// Registers a runner at `address` (`host:port`).
    pub(crate) async fn register(address: &str, token: &str, protocol: Protocol) -> Result<Self> {
        let mut runner = Self {
            connection: TcpStream::connect(address).await?,
            request: Vec::new(),
            received: Vec::new(),
        };
        runner.connection.set_nodelay(true)?;
        let body = json!({"token": token, "description": "bench", "info": info()});
        runner.request = post(address, protocol.register(), &body);
        let registered = runner.created().await?;
        let body = json!({
            "token": registered["token"], "info": info(), "system_id": "s_0123456789ab",
        });
        runner.request = post(address, protocol.claim(), &body);
        Ok(runner)
    }

    /// Claims a job.
    pub(crate) async fn claim(&mut self) -> Result<()> {
        self.exchange().await.map(drop)
    }

    async fn created(&mut self) -> Result<Value> {
        let head = self.exchange().await?;
        Ok(serde_json::from_slice(&self.received[head..])?)
    }

    /// Sends the request, and reads the response; returns the length of its head.
    async fn exchange(&mut self) -> Result<usize> {
        self.connection.write_all(&self.request).await?;
        self.received.clear();
        let head = loop {
            let read = self.connection.read_buf(&mut self.received).await?;
            ensure!(read > 0, "the connection was closed");
            if let Some(end) = find(&self.received, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = std::str::from_utf8(&self.received[..head])?.to_ascii_lowercase();
        ensure!(text.starts_with("http/1.1 201"), "{text}");
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .context("a response without a length")?;
        let length: usize = length.trim().parse()?;
        while self.received.len() < head + length {
            let read = self.connection.read_buf(&mut self.received).await?;
            ensure!(read > 0, "the connection was closed");
        }
        Ok(head)
    }
}

fn info() -> Value {
    json!({
        "name": "gitlab-runner", "version": "17.5.0", "revision": "12030cf4", "platform": "linux",
        "architecture": "amd64", "executor": "docker",
    })
}

fn post(address: &str, path: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: bench\r\nAccept: application/json\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

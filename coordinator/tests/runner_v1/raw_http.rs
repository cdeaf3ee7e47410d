//! Requests written byte by byte, for what an HTTP library would correct before sending.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::RunnerApi;

/// One TCP connection.
pub(crate) struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// The head of a response and a body of `Content-Length` bytes.
#[derive(Debug)]
pub(crate) struct RawResponse {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Connection {
    pub(crate) async fn to(api: &RunnerApi) -> Self {
        let address = api.base.strip_prefix("http://").unwrap();
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            unread: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends a request with a body of known length. `head` is the request line and any headers.
    pub(crate) async fn request(&mut self, head: &str, body: &str) -> RawResponse {
        let length = body.len();
        let head = format!("{head}\r\nHost: farm.test\r\nContent-Length: {length}\r\n\r\n");
        self.send(head).await;
        self.send(body).await;
        self.response().await
    }

    /// Closes the sending side and reads everything that the server still sends.
    pub(crate) async fn close_and_read_rest(mut self) -> String {
        self.stream.shutdown().await.unwrap();
        let mut rest = std::mem::take(&mut self.unread);
        // A reset is fine: the server has closed its side as well.
        let _ = self.stream.read_to_end(&mut rest).await;
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Reads one response. Without `Content-Length` its body is empty.
    pub(crate) async fn response(&mut self) -> RawResponse {
        let end = loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more().await;
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .to_ascii_lowercase()
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok())
            .unwrap_or(0);
        while self.unread.len() < length {
            self.read_more().await;
        }
        let body = String::from_utf8(self.unread.drain(..length).collect()).unwrap();
        RawResponse { status, head, body }
    }

    async fn read_more(&mut self) {
        let count = self.stream.read_buf(&mut self.unread).await.unwrap();
        assert!(
            count > 0,
            "the connection was closed after {:?}",
            self.unread
        );
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

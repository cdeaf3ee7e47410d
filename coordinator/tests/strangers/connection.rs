//! Requests written byte by byte, of which the server answers before they are complete.

use std::time::Duration;

use slipway_testkit::TestFarm;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest time for an answer that depends on nothing but the head of a request.
pub(crate) const PROMPT: Duration = Duration::from_secs(10);

/// One TCP connection.
pub(crate) struct Connection(TcpStream);

/// Everything that the server sent until it closed the connection.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Connection {
    pub(crate) async fn to(farm: &TestFarm) -> Self {
        let url = farm.url("");
        let address = url.strip_prefix("http://").unwrap();
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Sends the head of a request, whose lines are separated by newlines.
    pub(crate) async fn head(&mut self, lines: &str) {
        let head = lines.trim().replace('\n', "\r\n");
        self.send(format!("{head}\r\nHost: farm.test\r\n\r\n").as_bytes())
            .await;
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Sends `piece` again and again, up to `total` bytes or until the server closes the connection; returns
    /// how many bytes were sent.
    pub(crate) async fn flood(&mut self, piece: &[u8], total: usize) -> usize {
        let mut sent = 0;
        while sent < total {
            if self.0.write_all(piece).await.is_err() {
                break;
            }
            sent += piece.len();
        }
        sent
    }

    /// The status of an answer, whose content may arrive later.
    pub(crate) async fn status(&mut self) -> u16 {
        let mut line = [0; 12];
        let read = timeout(PROMPT, self.0.read_exact(&mut line)).await;
        read.expect("an answer in time").unwrap();
        let line = str::from_utf8(&line).unwrap();
        line.strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap()
    }

    /// The answer of a server that closes the connection within `limit`.
    pub(crate) async fn answer_and_close(mut self, limit: Duration) -> Answer {
        let mut bytes = Vec::new();
        let read = timeout(limit, self.0.read_to_end(&mut bytes)).await;
        // A reset after the answer is fine: the server does not read the rest of the body.
        let _ = read.expect("the connection is closed in time");
        let text = String::from_utf8(bytes).unwrap();
        let status = text.split(' ').nth(1).map(|status| status.parse().unwrap());
        Answer {
            status: status.expect("an answer before the connection is closed"),
            text,
        }
    }
}

/// The value of a line in `/metrics`.
pub(crate) async fn metric(farm: &TestFarm, name: &str) -> u64 {
    let answer = farm.http.get(farm.url("/metrics")).send().await.unwrap();
    let text = answer.text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.unwrap_or_else(|| panic!("{name} is missing in {text}"));
    value.trim().parse().unwrap()
}

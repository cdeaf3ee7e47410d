//! A reader of the live log stream of `/v0/jobs/{job_id}/logs`, which checks the exact format of each
//! frame.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

/// How long a step may take whose delay the protocol does not limit.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A frame of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame {
    History(Vec<Value>),
    Chunk(u64, Value),
    Comment(String),
    Done,
}

/// A log stream that is being read.
pub(crate) struct LogStream {
    response: Response,
    buffer: Vec<u8>,
    searched: usize,
    /// All bytes that were received.
    pub(crate) raw: Vec<u8>,
}

impl LogStream {
    /// Sends a request and checks the headers of the response.
    pub(crate) async fn open(request: RequestBuilder) -> Self {
        let response = timeout(LIMIT, request.send())
            .await
            .expect("no response in time");
        let response = response.unwrap();
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/event-stream; charset=utf-8");
        assert_eq!(header("cache-control"), "no-cache");
        Self {
            response,
            buffer: Vec::new(),
            searched: 0,
            raw: Vec::new(),
        }
    }

    /// The next frame; `None` at the end of the stream.
    pub(crate) async fn next_frame(&mut self) -> Option<Frame> {
        self.next_frame_within(LIMIT).await
    }

    /// The next frame, which must arrive within `limit`.
    pub(crate) async fn next_frame_within(&mut self, limit: Duration) -> Option<Frame> {
        loop {
            // A history may be long, so no byte is searched twice.
            let new = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(end) = new.windows(2).position(|pair| pair == b"\n\n") {
                let end = self.searched + end + 2;
                self.searched = 0;
                let block: Vec<u8> = self.buffer.drain(..end).collect();
                return Some(parse_frame(std::str::from_utf8(&block).unwrap()));
            }
            self.searched = self.buffer.len().saturating_sub(1);
            let piece = timeout(limit, self.response.chunk()).await;
            let Some(piece) = piece.expect("no frame in time").unwrap() else {
                assert!(self.buffer.is_empty(), "the stream ended inside a frame");
                return None;
            };
            self.buffer.extend_from_slice(&piece);
            self.raw.extend_from_slice(&piece);
        }
    }

    /// The first frame: the history.
    pub(crate) async fn history(&mut self) -> Vec<Value> {
        match self.next_frame().await {
            Some(Frame::History(chunks)) => chunks,
            other => panic!("expected a history: {other:?}"),
        }
    }

    /// The next frame, which must be a chunk.
    pub(crate) async fn next_chunk(&mut self) -> Value {
        match self.next_frame().await {
            Some(Frame::Chunk(id, chunk)) => {
                assert_eq!(chunk["seq"], id);
                chunk
            }
            other => panic!("expected a chunk: {other:?}"),
        }
    }

    /// Asserts that the next frame is `done` and that the stream ends after it.
    pub(crate) async fn expect_done(&mut self, limit: Duration) {
        assert_eq!(self.next_frame_within(limit).await, Some(Frame::Done));
        assert_eq!(self.next_frame_within(limit).await, None);
    }

    /// Reads to the end and returns all chunks, including those of the history.
    pub(crate) async fn read_to_end(&mut self) -> Vec<Value> {
        let mut chunks = self.history().await;
        loop {
            match self.next_frame().await {
                Some(Frame::Chunk(id, chunk)) => {
                    assert_eq!(chunk["seq"], id);
                    chunks.push(chunk);
                }
                Some(Frame::Comment(_)) => {}
                Some(Frame::Done) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(self.next_frame().await, None);
        chunks
    }
}

/// Parses a frame. Clients compare the text, so the spelling must be exact.
fn parse_frame(block: &str) -> Frame {
    let block = block.strip_suffix("\n\n").unwrap();
    if let Some(comment) = block.strip_prefix(':') {
        return Frame::Comment(comment.to_owned());
    }
    let lines: Vec<&str> = block.split('\n').collect();
    let data = |line: &str| -> Value {
        let data = line.strip_prefix("data: ").expect("a data field");
        serde_json::from_str(data).unwrap()
    };
    match lines[..] {
        ["event: history", line] => {
            let data = data(line);
            assert_eq!(data.as_object().unwrap().len(), 1);
            Frame::History(data["chunks"].as_array().unwrap().clone())
        }
        [id, "event: chunk", line] => {
            let id = id.strip_prefix("id: ").unwrap().parse().unwrap();
            Frame::Chunk(id, data(line))
        }
        ["event: done", line] => {
            assert_eq!(data(line), json!({}));
            Frame::Done
        }
        _ => panic!("not a frame: {block:?}"),
    }
}

/// The sequence numbers of chunks.
pub(crate) fn seqs(chunks: &[Value]) -> Vec<u64> {
    let seq = |chunk: &Value| chunk["seq"].as_u64().unwrap();
    chunks.iter().map(seq).collect()
}

/// The text of chunks that start at the offset `from`. Asserts that they have no gaps and that each
/// sequence number is the offset after its chunk.
pub(crate) fn joined_text(chunks: &[Value], from: u64) -> String {
    let mut offset = from;
    let mut whole = String::new();
    for chunk in chunks {
        assert_eq!(chunk.as_object().unwrap().len(), 4, "{chunk}");
        let content = chunk["content"].as_str().unwrap();
        assert!(content.len() <= 64 << 10);
        offset += content.len() as u64;
        assert_eq!(chunk["seq"], offset);
        whole.push_str(content);
    }
    whole
}

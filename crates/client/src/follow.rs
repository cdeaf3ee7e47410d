//! Following a trace through server-sent events, across broken connections.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use reqwest::Method;
use serde::Deserialize;
use slipway_domain::backoff::Backoff;

use crate::{Client, ClientError};

/// How many connections in a row may break without a new byte before following fails.
const MAX_BREAKS: u32 = 30;
/// The delays before reconnecting.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// An event of a followed trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceEvent {
    /// The next bytes of the trace.
    Chunk {
        /// The position of the first byte in the trace.
        offset: u64,
        bytes: Bytes,
    },
    /// The job has finished and its trace is complete. This is the last event.
    End { state: String },
}

impl Client {
    /// The trace of a job from the byte `from` on: first the stored bytes, then new ones as they
    /// arrive, until the job finishes.
    ///
    /// Broken connections are opened again. Every byte is returned once.
    pub fn follow_trace(
        &self,
        job: i64,
        from: u64,
    ) -> impl Stream<Item = Result<TraceEvent, ClientError>> + use<> {
        let follower = Follower {
            client: self.clone(),
            job,
            offset: from,
            body: None,
            parser: Parser::default(),
            breaks: 0,
        };
        stream::unfold(Some(follower), |follower| async move {
            let mut follower = follower?;
            match follower.next().await {
                Ok(event @ TraceEvent::Chunk { .. }) => Some((Ok(event), Some(follower))),
                last => Some((last, None)),
            }
        })
    }
}

struct Follower {
    client: Client,
    job: i64,
    offset: u64,
    body: Option<BoxStream<'static, reqwest::Result<Bytes>>>,
    parser: Parser,
    breaks: u32,
}

impl Follower {
    async fn next(&mut self) -> Result<TraceEvent, ClientError> {
        loop {
            if let Some(event) = self.parser.next_event()? {
                match self.without_known_bytes(event) {
                    Some(event) => return Ok(event),
                    None => continue,
                }
            }
            let error = match &mut self.body {
                None => match self.connect().await {
                    Ok(body) => {
                        self.body = Some(body);
                        // Half an event of the broken connection must not precede the new ones.
                        self.parser = Parser::default();
                        continue;
                    }
                    Err(error) => error,
                },
                Some(body) => match body.next().await {
                    Some(Ok(bytes)) => {
                        self.parser.push(&bytes);
                        continue;
                    }
                    Some(Err(error)) => ClientError::Unreadable(error),
                    None => ClientError::BadEvent,
                },
            };
            let was_connected = self.body.take().is_some();
            self.breaks += 1;
            // An open stream can always be resumed, whatever ended it. An error response is final
            // unless it is transient.
            let can_retry = was_connected || error.is_transient();
            if !can_retry || self.breaks > MAX_BREAKS {
                return Err(error);
            }
            tokio::time::sleep(BACKOFF.delay_after(self.breaks - 1, 0.0)).await;
        }
    }

    async fn connect(&self) -> Result<BoxStream<'static, reqwest::Result<Bytes>>, ClientError> {
        let path = ["jobs", &self.job.to_string(), "trace", "stream"];
        let request = self.client.request(Method::GET, &path);
        let request = request.header("last-event-id", self.offset);
        Ok(self.client.send(request).await?.bytes_stream().boxed())
    }

    /// The event without the bytes that were returned before; `None` if nothing is left.
    fn without_known_bytes(&mut self, event: TraceEvent) -> Option<TraceEvent> {
        let TraceEvent::Chunk { offset, bytes } = event else {
            return Some(event);
        };
        let known = usize::try_from(self.offset.saturating_sub(offset)).unwrap_or(usize::MAX);
        if known >= bytes.len() {
            return None;
        }
        let bytes = bytes.slice(known..);
        let offset = offset + known as u64;
        self.offset = offset + bytes.len() as u64;
        // Only progress counts: a farm that repeats known bytes must not be followed forever.
        self.breaks = 0;
        Some(TraceEvent::Chunk { offset, bytes })
    }
}

#[derive(Deserialize)]
struct Chunk {
    offset: u64,
    base64: String,
}

#[derive(Deserialize)]
struct End {
    state: String,
}

/// Splits a byte stream into events.
#[derive(Default)]
struct Parser {
    text: Vec<u8>,
}

impl Parser {
    fn push(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    /// The next complete event. Events of unknown types are skipped, as newer farms may send them.
    fn next_event(&mut self) -> Result<Option<TraceEvent>, ClientError> {
        while let Some(end) = self.text.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.text.drain(..end + 2).collect();
            let block = String::from_utf8(block).map_err(|_| ClientError::BadEvent)?;
            if let Some(event) = parse_event(&block)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}

/// Parses one event; `None` for comments and unknown events.
fn parse_event(block: &str) -> Result<Option<TraceEvent>, ClientError> {
    let field = |name: &str| {
        block.lines().find_map(|line| {
            let value = line.strip_prefix(name)?.strip_prefix(':')?;
            Some(value.strip_prefix(' ').unwrap_or(value))
        })
    };
    let data = field("data").unwrap_or_default();
    let bad = |_| ClientError::BadEvent;
    match field("event") {
        Some("chunk") => {
            let chunk: Chunk = serde_json::from_str(data).map_err(bad)?;
            let bytes = STANDARD.decode(chunk.base64);
            Ok(Some(TraceEvent::Chunk {
                offset: chunk.offset,
                bytes: bytes.map_err(|_| ClientError::BadEvent)?.into(),
            }))
        }
        Some("end") => {
            let End { state } = serde_json::from_str(data).map_err(bad)?;
            Ok(Some(TraceEvent::End { state }))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b": still here\n\nevent: chunk\nid: 3\ndata: {\"offset\":0,\"base64\":\"YQpi\"}\n\n\
        event: later\ndata: x\n\nevent: end\nid: 3\ndata: {\"state\":\"failed\",\"failure_reason\":null}\n\n";

    #[test]
    fn events_are_parsed_however_the_bytes_are_split() {
        let expected = [
            TraceEvent::Chunk {
                offset: 0,
                bytes: Bytes::from_static(b"a\nb"),
            },
            TraceEvent::End {
                state: "failed".to_owned(),
            },
        ];
        for size in 1..STREAM.len() {
            let (mut parser, mut events) = (Parser::default(), Vec::new());
            for part in STREAM.chunks(size) {
                parser.push(part);
                while let Some(event) = parser.next_event().unwrap() {
                    events.push(event);
                }
            }
            assert_eq!(events, expected, "in parts of {size} bytes");
        }
    }

    #[test]
    fn known_bytes_are_dropped_and_new_ones_reset_the_break_count() {
        let mut follower = Follower {
            client: Client::new("http://farm.example", "t").unwrap(),
            job: 1,
            offset: 2,
            body: None,
            parser: Parser::default(),
            breaks: 3,
        };
        let chunk = |offset, text: &'static str| TraceEvent::Chunk {
            offset,
            bytes: Bytes::from_static(text.as_bytes()),
        };
        assert_eq!(follower.without_known_bytes(chunk(0, "ab")), None);
        assert_eq!(
            follower.without_known_bytes(chunk(0, "abc")),
            Some(chunk(2, "c"))
        );
        assert_eq!((follower.offset, follower.breaks), (3, 0));
    }

    #[test]
    fn delays_before_reconnecting_grow_to_five_seconds() {
        let delays = [0, 1, 30].map(|breaks| BACKOFF.delay_after(breaks, 0.0).as_millis());
        assert_eq!(delays, [200, 400, 5000]);
    }
}

//! Following a trace: server-sent events, taken up again where they broke off.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use reqwest::Method;
use serde::Deserialize;
use slipway_domain::backoff::Backoff;

use crate::{Client, ClientError};

/// How often in a row a stream may break off without anything new before it is given up.
const MAX_BREAKS: u32 = 30;
/// The delays before reconnecting.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// Something that happens to a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceEvent {
    /// More of it.
    Chunk {
        /// Where the bytes begin.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// The job is over, and so is the trace.
    End {
        /// The job's state.
        state: String,
    },
}

impl Client {
    /// The trace of a job from `from` on: what is stored, then what comes, until the job is over.
    ///
    /// A connection that breaks is made again, and no byte is told twice.
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
                match self.news_of(event) {
                    Some(event) => return Ok(event),
                    None => continue,
                }
            }
            let problem = match &mut self.body {
                None => match self.connect().await {
                    Ok(body) => {
                        self.body = Some(body);
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
            let broke_off = self.body.take().is_some();
            self.breaks += 1;
            if !(broke_off || problem.is_transient()) || self.breaks > MAX_BREAKS {
                return Err(problem);
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

    /// What of an event was not told before.
    fn news_of(&mut self, event: TraceEvent) -> Option<TraceEvent> {
        let TraceEvent::Chunk { offset, bytes } = event else {
            return Some(event);
        };
        let told = usize::try_from(self.offset.saturating_sub(offset)).unwrap_or(usize::MAX);
        if told >= bytes.len() {
            return None;
        }
        let bytes = bytes.slice(told..);
        let offset = offset + told as u64;
        self.offset = offset + bytes.len() as u64;
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

/// Cuts bytes into events, however they arrive.
#[derive(Default)]
struct Parser {
    text: Vec<u8>,
}

impl Parser {
    fn push(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    /// The next event that is whole; what this client does not know is passed over.
    fn next_event(&mut self) -> Result<Option<TraceEvent>, ClientError> {
        while let Some(end) = self.text.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.text.drain(..end + 2).collect();
            let block = String::from_utf8(block).map_err(|_| ClientError::BadEvent)?;
            if let Some(event) = read(&block)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}

fn read(block: &str) -> Result<Option<TraceEvent>, ClientError> {
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
    fn events_are_the_same_however_they_arrive() {
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
    fn no_byte_is_told_twice() {
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
        assert_eq!(follower.news_of(chunk(0, "ab")), None);
        assert_eq!(follower.news_of(chunk(0, "abc")), Some(chunk(2, "c")));
        assert_eq!((follower.offset, follower.breaks), (3, 0));
    }

    #[test]
    fn delays_before_reconnecting_grow_to_five_seconds() {
        let delays = [0, 1, 30].map(|breaks| BACKOFF.delay_after(breaks, 0.0).as_millis());
        assert_eq!(delays, [200, 400, 5000]);
    }
}

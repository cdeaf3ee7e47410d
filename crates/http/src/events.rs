//! Server-sent events, as defined by the HTML standard (`text/event-stream`).
//!
//! Names and data of the events are each dialect's own.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use tokio::time::timeout;

/// The longest silence of a stream. Proxies and clients close connections that idle longer.
const MAX_SILENCE: Duration = Duration::from_secs(15);
/// A comment, which clients ignore.
const COMMENT: &[u8] = b":\n\n";

/// One event. `data` must be a single line.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// What a client that reconnects after this event sends as `Last-Event-ID`.
    pub id: Option<u64>,
    /// The type of the event.
    pub event: &'a str,
    pub data: &'a str,
}

impl Event<'_> {
    /// The event as it is sent: `id`, `event`, `data`, and a blank line. Clients of some dialects
    /// search the raw text, so the order and the spaces are fixed.
    pub fn text(&self) -> Bytes {
        let Self { id, event, data } = self;
        let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
        Bytes::from(format!("{id}event: {event}\ndata: {data}\n\n"))
    }
}

/// The body of an event stream: the given text as it comes, and a comment after every 15 seconds
/// without any. It ends when `events` ends.
///
/// An event may come in several pieces; no comment is put between them.
pub fn event_stream(
    events: impl Stream<Item = Bytes> + Unpin,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold((events, true), |(mut events, is_between)| async move {
        let bytes = if is_between {
            match timeout(MAX_SILENCE, events.next()).await {
                Ok(next) => next?,
                Err(_) => Bytes::from_static(COMMENT),
            }
        } else {
            // A comment inside an event would end the event early.
            events.next().await?
        };
        let is_between = bytes.ends_with(b"\n\n");
        Some((Ok(bytes), (events, is_between)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_as_clients_search_for_it() {
        let chunk = Event {
            id: Some(4),
            event: "chunk",
            data: "{}",
        };
        assert_eq!(chunk.text(), "id: 4\nevent: chunk\ndata: {}\n\n");
        let done = Event {
            id: None,
            event: "done",
            data: "{}",
        };
        assert_eq!(done.text(), "event: done\ndata: {}\n\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_comment_is_sent_after_every_fifteen_seconds_of_silence() {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let events = stream::unfold(receiver, |mut receiver| async move {
            Some((receiver.recv().await?, receiver))
        });
        let mut body = Box::pin(event_stream(events.boxed()));
        for _ in 0..2 {
            assert_eq!(body.next().await.unwrap().unwrap(), COMMENT);
        }
        sender.send(Bytes::from_static(b"a")).await.unwrap();
        assert_eq!(body.next().await.unwrap().unwrap(), "a");
        // No comment is sent in the middle of an event.
        let rest = tokio::time::timeout(4 * MAX_SILENCE, body.next()).await;
        assert!(rest.is_err());
        drop(sender);
        assert!(body.next().await.is_none());
    }
}

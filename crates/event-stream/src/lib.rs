//! Server-sent events, as every dialect writes them: frames, and comments where there is silence.
//!
//! What the events are called and what is in them is each dialect's own.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use tokio::time::timeout;

/// How long a stream is silent at the most, so that neither end takes it for dead.
const SILENCE: Duration = Duration::from_secs(15);
/// Clients pass over it.
const COMMENT: &[u8] = b":\n\n";

/// One event. `data` must be a single line.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// From where a client that saw it goes on.
    pub id: Option<u64>,
    /// What kind of event it is.
    pub event: &'a str,
    /// What it says.
    pub data: &'a str,
}

impl Frame<'_> {
    /// The event as it is sent: `id`, `event`, `data`, and a blank line.
    pub fn text(&self) -> Bytes {
        let Self { id, event, data } = self;
        let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
        Bytes::from(format!("{id}event: {event}\ndata: {data}\n\n"))
    }
}

/// The body of a stream: the frames as they come, and a comment after each fifteen seconds in which
/// none does. It ends with the frames. A frame may come in parts, which no comment tears apart.
pub fn body(
    frames: impl Stream<Item = Bytes> + Unpin,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold((frames, true), |(mut frames, is_between)| async move {
        let bytes = match is_between {
            false => frames.next().await?,
            true => match timeout(SILENCE, frames.next()).await {
                Ok(next) => next?,
                Err(_) => Bytes::from_static(COMMENT),
            },
        };
        let is_between = bytes.ends_with(b"\n\n");
        Some((Ok(bytes), (frames, is_between)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_spelt_as_clients_search_for_it() {
        let chunk = Frame {
            id: Some(4),
            event: "chunk",
            data: "{}",
        };
        assert_eq!(chunk.text(), "id: 4\nevent: chunk\ndata: {}\n\n");
        let done = Frame {
            id: None,
            event: "done",
            data: "{}",
        };
        assert_eq!(done.text(), "event: done\ndata: {}\n\n");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_every_fifteen_seconds() {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let frames = stream::unfold(receiver, |mut receiver| async move {
            Some((receiver.recv().await?, receiver))
        });
        let mut body = Box::pin(body(frames.boxed()));
        for _ in 0..2 {
            assert_eq!(body.next().await.unwrap().unwrap(), COMMENT);
        }
        sender.send(Bytes::from_static(b"a")).await.unwrap();
        assert_eq!(body.next().await.unwrap().unwrap(), "a");
        // In the middle of a frame there is no place for a comment.
        let rest = tokio::time::timeout(4 * SILENCE, body.next()).await;
        assert!(rest.is_err());
        drop(sender);
        assert!(body.next().await.is_none());
    }
}

//! The text of bytes that a runner sent, and how much of it belongs to the head of the trace.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use slipway_domain::timestamps::{LineTime, TimedText};
use slipway_domain::{TimestampReader, TraceLimit};
use slipway_store::traces::{StoredTrace, TailExtent};

use crate::state::live_traces::AppendedBytes;
use crate::traces::chunks::blob_of;

/// The text that became certain with the bytes that a runner sent.
pub(super) struct NewText {
    pub(super) text: Bytes,
    /// Absent if the trace has no times.
    pub(super) times: Option<Vec<LineTime>>,
}

/// What readers see of an appended trace.
pub(super) enum Shown {
    Nothing,
    More(AppendedBytes),
    /// Something else than before.
    Changed,
}

/// More bytes of a trace.
pub(super) struct Received {
    pub(super) head: NewText,
    /// What follows the head.
    pub(super) tail: NewText,
    /// The trace with these bytes. Its tail starts where it did before.
    pub(super) after: StoredTrace,
}

impl Received {
    /// Reads more bytes of a trace.
    pub(super) fn read(before: &StoredTrace, bytes: &Bytes, limit: TraceLimit) -> Self {
        let received = before.received.length;
        // Once something followed the head, everything does.
        let head = match before.tail {
            Some(_) => 0,
            None => limit.head_part(received, bytes),
        };
        let mut reader = before.reader.clone();
        let mut next = |bytes: Bytes| NewText::read(&mut reader, bytes);
        let (head, rest) = (next(bytes.slice(..head)), bytes.slice(head..));
        let is_head = rest.is_empty();
        let tail = next(rest);
        let appended = |held: TailExtent| TailExtent {
            length: held.length + tail.text.len() as u64,
            ..held
        };
        let after = StoredTrace {
            received: before.received.extended(bytes),
            text: before.text.extended(&head.text),
            reader,
            tail: if is_head {
                before.tail
            } else {
                Some(appended(before.tail.unwrap_or_default()))
            },
        };
        Self { head, tail, after }
    }

    /// What readers see, who may have seen a line break at the end of `before` already.
    pub(super) fn shown(&self, before: &StoredTrace, now: DateTime<Utc>) -> Shown {
        match (before.tail, self.after.tail) {
            (None, None) => self.head.shown(before, &self.after, now),
            // The head ends.
            (None, Some(_)) => Shown::Changed,
            (Some(before), Some(after)) if before.start == 0 && after.start > 0 => Shown::Changed,
            // The tail is shown when the job has ended.
            (Some(_), _) => Shown::Nothing,
        }
    }
}

impl NewText {
    fn read(reader: &mut TimestampReader, bytes: Bytes) -> Self {
        if bytes.is_empty() {
            let times = (!reader.is_plain()).then(Vec::new);
            return Self { text: bytes, times };
        }
        if reader.is_plain() {
            return Self {
                text: bytes,
                times: None,
            };
        }
        let timed = reader.take(&bytes);
        Self {
            times: (!reader.is_plain()).then_some(timed.times),
            text: timed.text.into(),
        }
    }

    /// The text as it is stored, with its times.
    pub(super) fn blob(&self) -> Bytes {
        match &self.times {
            None => self.text.clone(),
            Some(times) => blob_of(&TimedText {
                text: self.text.to_vec(),
                times: times.clone(),
            }),
        }
    }

    /// The text without its first `count` bytes.
    pub(super) fn without(&self, count: usize) -> Self {
        let count = count.min(self.text.len());
        Self {
            text: self.text.slice(count..),
            times: self.times.as_ref().map(|times| {
                let later = times.iter().filter(|time| time.offset >= count);
                later.map(|time| earlier(time, count)).collect()
            }),
        }
    }

    fn shown(&self, before: &StoredTrace, after: &StoredTrace, now: DateTime<Utc>) -> Shown {
        let (seen, end) = (before.reader.end(false), after.reader.end(false));
        let whole: Bytes = if end.is_empty() {
            self.text.clone()
        } else {
            [&self.text, end.as_bytes()].concat().into()
        };
        if !whole.starts_with(seen.as_bytes()) {
            return Shown::Changed;
        }
        let bytes = whole.slice(seen.len()..);
        if bytes.is_empty() {
            return Shown::Nothing;
        }
        let shifted = |time| earlier(time, seen.len());
        Shown::More(AppendedBytes {
            start: before.text.length + seen.len() as u64,
            bytes,
            whole: after.text.extended(end.as_bytes()),
            at: now,
            times: self
                .times
                .as_ref()
                .map(|times| times.iter().map(shifted).collect()),
        })
    }
}

/// The time of a line in a text that begins `count` bytes later.
fn earlier(time: &LineTime, count: usize) -> LineTime {
    LineTime {
        offset: time.offset.saturating_sub(count),
        at: time.at,
    }
}

//! The text of a trace as all its readers see it: the head, the line about what is missing, and the
//! tail once the job has ended.

use std::ops::Range;

use diesel::prelude::*;
use slipway_domain::{JobId, trace_limit};

use crate::engine::connection::Conn;
use crate::error::StoreError;
use crate::jobs::traces::chunks::{Chunk, ChunkSource, head_ends_line, in_head, in_tail};
use crate::jobs::traces::{Extent, StoredTrace, TailExtent, stored};
use crate::schema::jobs;

/// Which text of a trace to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// What readers see now.
    Now,
    /// What they will see when the job has ended, if its runner sends nothing more.
    AtEnd,
}

/// The parts of a text, in order.
struct Text {
    head: Extent,
    /// Empty if nothing is missing.
    notice: String,
    /// The part of the tail that is shown: a range of offsets behind the head.
    tail: Range<u64>,
    /// What the reader of the trace holds back.
    end: String,
}

impl Text {
    fn read(
        conn: &mut Conn,
        job: JobId,
        trace: &StoredTrace,
        view: View,
    ) -> Result<Self, StoreError> {
        let mut text = Self {
            head: trace.text,
            notice: String::new(),
            tail: 0..0,
            end: String::new(),
        };
        if trace.received.length == 0 || (trace.reader.is_plain() && trace.tail.is_none()) {
            return Ok(text);
        }
        let has_ended = view == View::AtEnd || has_ended(conn, job)?;
        let Some(TailExtent { length, start }) = trace.tail else {
            text.end = trace.reader.end(has_ended);
            return Ok(text);
        };
        if start > 0 {
            let is_in_line = !head_ends_line(conn, job)?;
            text.notice = trace_limit::notice(is_in_line, start, has_ended);
        }
        if has_ended {
            text.tail = start..length;
            text.end = trace.reader.end(true);
        }
        Ok(text)
    }

    /// Where the tail begins in the text.
    fn tail_at(&self) -> u64 {
        self.head.length + self.notice.len() as u64
    }

    /// Where what the reader holds back begins.
    fn end_at(&self) -> u64 {
        self.tail_at() + self.tail.end - self.tail.start
    }
}

fn has_ended(conn: &mut Conn, job: JobId) -> Result<bool, StoreError> {
    let finished_at: Option<Option<i64>> = jobs::table
        .find(job.0)
        .select(jobs::finished_at)
        .first(conn)
        .optional()?;
    Ok(finished_at.flatten().is_some())
}

/// How much text the trace of a job has; zero if the job has none.
///
/// With a tail, the checksum is that of the text before the tail: it changes if what readers saw while
/// the job ran has changed.
pub fn extent(conn: &mut Conn, job: JobId, view: View) -> Result<Extent, StoreError> {
    let trace = stored(conn, job)?;
    let text = Text::read(conn, job, &trace, view)?;
    let before = text.head.extended(text.notice.as_bytes());
    if text.tail.is_empty() {
        return Ok(before.extended(text.end.as_bytes()));
    }
    Ok(Extent {
        length: text.end_at() + text.end.len() as u64,
        ..before
    })
}

/// The chunks that contain the bytes of `range`, in order.
pub fn chunks_in(
    conn: &mut Conn,
    job: JobId,
    range: Range<u64>,
    view: View,
) -> Result<Vec<Chunk>, StoreError> {
    let trace = stored(conn, job)?;
    let text = Text::read(conn, job, &trace, view)?;
    let mut chunks = in_head(conn, job, &range)?;
    chunks.extend(inline(
        text.head.length,
        &text.notice,
        &range,
        ChunkSource::Notice,
    ));
    chunks.extend(shown_tail(conn, job, &text, &range)?);
    chunks.extend(inline(
        text.end_at(),
        &text.end,
        &range,
        ChunkSource::Inline,
    ));
    Ok(chunks)
}

/// The chunks of the tail that contain the bytes of `range`, with their offsets in the text.
fn shown_tail(
    conn: &mut Conn,
    job: JobId,
    text: &Text,
    range: &Range<u64>,
) -> Result<Vec<Chunk>, StoreError> {
    let behind_head = |offset: u64| {
        let shown = offset.saturating_sub(text.tail_at());
        text.tail.start.saturating_add(shown).min(text.tail.end)
    };
    let wanted = behind_head(range.start)..behind_head(range.end);
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let chunks = in_tail(conn, job, &wanted)?.into_iter().map(|chunk| {
        let chunk = chunk.from(text.tail.start);
        Chunk {
            start: text.tail_at() + chunk.start - text.tail.start,
            ..chunk
        }
    });
    Ok(chunks.collect())
}

/// The chunk of a text that is in no blob, if the range contains bytes of it.
fn inline(
    start: u64,
    text: &str,
    range: &Range<u64>,
    source: impl FnOnce(String) -> ChunkSource,
) -> Option<Chunk> {
    let length = text.len() as u64;
    let is_wanted = length > 0 && start < range.end && start + length > range.start;
    is_wanted.then(|| Chunk {
        start,
        length,
        lines: None,
        source: source(text.to_owned()),
    })
}

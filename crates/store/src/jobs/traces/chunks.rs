//! Chunks: which blobs hold the text of a trace, in rows for its head and rows for its tail.

use std::ops::Range;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::JobId;

use crate::engine::connection::Conn;
use crate::engine::time::{from_opt_ms, to_ms};
use crate::error::StoreError;
use crate::jobs::traces::signed;
use crate::schema::{trace_chunks, trace_tail_chunks};

/// A range of the text of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its offset in the trace, in bytes; for a new chunk of the tail, its offset behind the head.
    pub start: u64,
    /// In bytes.
    pub length: u64,
    pub source: ChunkSource,
    /// Absent if the lines were not counted.
    pub lines: Option<Lines>,
}

impl Chunk {
    /// The offset of the byte after it.
    pub fn end(&self) -> u64 {
        self.start + self.length
    }

    /// Whether lines that begin in it have times.
    pub fn has_times(&self) -> bool {
        match &self.source {
            ChunkSource::Blob { line_times, .. } => line_times.is_some_and(|count| count > 0),
            ChunkSource::Inline(_) | ChunkSource::Notice(_) => false,
        }
    }

    /// The chunk from `offset` on, which must lie within it.
    pub(super) fn from(self, offset: u64) -> Self {
        let Some(count @ 1..) = offset.checked_sub(self.start) else {
            return self;
        };
        let source = match self.source {
            ChunkSource::Blob {
                key,
                line_times,
                skipped,
            } => ChunkSource::Blob {
                key,
                line_times,
                skipped: skipped + count,
            },
            other => other,
        };
        Self {
            start: offset,
            length: self.length - count,
            source,
            lines: None,
        }
    }
}

/// Where the text of a chunk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkSource {
    /// In a blob.
    Blob {
        key: String,
        /// How many times of lines follow the text; absent if the trace has none.
        line_times: Option<u64>,
        /// How much text at the beginning of the blob does not belong to the trace any more, in bytes.
        skipped: u64,
    },
    /// Here: the end of a trace that the reader of the trace holds back.
    Inline(String),
    /// Here: the line between the head and the tail. The text before it has ended for good, so that a
    /// secret does not go on after it.
    Notice(String),
}

/// The lines of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    /// How many lines end in it.
    pub count: u64,
    /// Whether the chunk ends at the end of a line.
    pub ends: bool,
    /// When it arrived.
    pub at: DateTime<Utc>,
}

type ChunkRow = (
    i64,
    i64,
    String,
    Option<i64>,
    Option<bool>,
    Option<i64>,
    Option<i64>,
);

/// Both tables have the same columns.
macro_rules! chunk_queries {
    ($table:ident, $insert:ident, $within:ident, $blobs:ident) => {
        /// Inserts a chunk whose text is in a blob. Inline text belongs to the reader's state.
        pub(super) fn $insert(
            conn: &mut Conn,
            job: JobId,
            chunk: &Chunk,
        ) -> Result<(), StoreError> {
            let ChunkSource::Blob {
                key, line_times, ..
            } = &chunk.source
            else {
                return Ok(());
            };
            diesel::insert_into($table::table)
                .values((
                    $table::job_id.eq(job.0),
                    $table::start.eq(signed(chunk.start)),
                    $table::length.eq(signed(chunk.length)),
                    $table::blob_key.eq(key),
                    $table::lines.eq(chunk.lines.map(|lines| signed(lines.count))),
                    $table::ends_line.eq(chunk.lines.map(|lines| lines.ends)),
                    $table::at.eq(chunk.lines.map(|lines| to_ms(lines.at))),
                    $table::line_times.eq(line_times.map(signed)),
                ))
                .execute(conn)?;
            Ok(())
        }

        /// The chunks in the table that contain the bytes of `range`, in order.
        pub(super) fn $within(
            conn: &mut Conn,
            job: JobId,
            range: &Range<u64>,
        ) -> Result<Vec<Chunk>, StoreError> {
            let rows: Vec<ChunkRow> = $table::table
                .filter($table::job_id.eq(job.0))
                // The range may begin in the middle of a chunk, so the end of the chunk is compared.
                .filter(($table::start + $table::length).gt(signed(range.start)))
                .filter($table::start.lt(signed(range.end)))
                .order($table::start)
                .select((
                    $table::start,
                    $table::length,
                    $table::blob_key,
                    $table::lines,
                    $table::ends_line,
                    $table::at,
                    $table::line_times,
                ))
                .load(conn)?;
            rows.into_iter().map(read_chunk).collect()
        }

        /// The blobs of all chunks in the table.
        fn $blobs(conn: &mut Conn, job: JobId) -> Result<Vec<String>, StoreError> {
            let keys = $table::table
                .filter($table::job_id.eq(job.0))
                .select($table::blob_key);
            Ok(keys.load(conn)?)
        }
    };
}

chunk_queries!(trace_chunks, insert_into_head, in_head, blobs_of_head);
chunk_queries!(trace_tail_chunks, insert_into_tail, in_tail, blobs_of_tail);

/// The blobs of a trace.
pub(crate) fn blobs_of(conn: &mut Conn, job: JobId) -> Result<Vec<String>, StoreError> {
    let mut keys = blobs_of_head(conn, job)?;
    keys.extend(blobs_of_tail(conn, job)?);
    Ok(keys)
}

/// The chunks that contain the bytes of `range` behind the head of a trace, in order. Their offsets
/// count from there.
pub fn tail_chunks_in(
    conn: &mut Conn,
    job: JobId,
    range: &Range<u64>,
) -> Result<Vec<Chunk>, StoreError> {
    in_tail(conn, job, range)
}

/// Deletes all chunks of a trace.
pub(super) fn delete_all(conn: &mut Conn, job: JobId) -> Result<(), StoreError> {
    diesel::delete(trace_chunks::table.filter(trace_chunks::job_id.eq(job.0))).execute(conn)?;
    diesel::delete(trace_tail_chunks::table.filter(trace_tail_chunks::job_id.eq(job.0)))
        .execute(conn)?;
    Ok(())
}

/// Deletes the chunks of a tail that end before the offset `start` or there. Returns their blobs.
pub(super) fn delete_before(
    conn: &mut Conn,
    job: JobId,
    start: u64,
) -> Result<Vec<String>, StoreError> {
    let old = || {
        let end = trace_tail_chunks::start + trace_tail_chunks::length;
        trace_tail_chunks::table
            .filter(trace_tail_chunks::job_id.eq(job.0))
            .filter(end.le(signed(start)))
    };
    let keys: Vec<String> = old().select(trace_tail_chunks::blob_key).load(conn)?;
    if !keys.is_empty() {
        diesel::delete(old()).execute(conn)?;
    }
    Ok(keys)
}

/// Whether the head of a trace ends with the end of a line.
pub(super) fn head_ends_line(conn: &mut Conn, job: JobId) -> Result<bool, StoreError> {
    let last: Option<Option<bool>> = trace_chunks::table
        .filter(trace_chunks::job_id.eq(job.0))
        .order(trace_chunks::start.desc())
        .select(trace_chunks::ends_line)
        .first(conn)
        .optional()?;
    // An empty head has no line to end.
    Ok(last.is_none_or(|ends| ends == Some(true)))
}

fn read_chunk(row: ChunkRow) -> Result<Chunk, StoreError> {
    let (start, length, key, count, ends, at, line_times) = row;
    // Chunks that were stored before lines were counted have none of the three values.
    let lines = match (count, ends, from_opt_ms(at)?) {
        (Some(count), Some(ends), Some(at)) => Some(Lines {
            count: u64::try_from(count).unwrap_or(0),
            ends,
            at,
        }),
        _ => None,
    };
    Ok(Chunk {
        start: u64::try_from(start).unwrap_or(0),
        length: u64::try_from(length).unwrap_or(0),
        source: ChunkSource::Blob {
            key,
            line_times: line_times.map(|count| u64::try_from(count).unwrap_or(0)),
            skipped: 0,
        },
        lines,
    })
}

//! Traces: which bytes are stored, and in which blobs.
//!
//! What is stored is text without the headers of lines, so it may be shorter than what the runner
//! sent. Offsets are those of the text, except where the runner's count is named.

use std::ops::Range;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::{JobId, TimestampReader};

use crate::engine::connection::Conn;
use crate::engine::locks;
use crate::engine::time::{from_opt_ms, parse, to_ms};
use crate::error::StoreError;
use crate::jobs::queries::get_locked;
use crate::schema::{jobs, trace_chunks, traces};

/// A number of bytes at the beginning of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// In bytes.
    pub length: u64,
    /// CRC-32 of all bytes.
    pub crc32: u32,
}

impl Extent {
    /// The extent with `bytes` after it.
    #[must_use]
    pub fn extended(self, bytes: &[u8]) -> Self {
        let mut hasher = crc32fast::Hasher::new_with_initial_len(self.crc32, self.length);
        hasher.update(bytes);
        Self {
            length: self.length + bytes.len() as u64,
            crc32: hasher.finalize(),
        }
    }
}

/// A trace as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredTrace {
    /// What the runner sent.
    pub received: Extent,
    /// The text that is certain.
    pub text: Extent,
    /// What the reader holds back is not in `text`.
    pub reader: TimestampReader,
}

/// A range of the text of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its offset in the trace, in bytes.
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
            ChunkSource::Inline(_) => false,
        }
    }
}

/// Where the text of a chunk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkSource {
    /// At the beginning of a blob.
    Blob {
        key: String,
        /// How many times of lines follow it; absent if the trace has none.
        line_times: Option<u64>,
    },
    /// Here: the end of a trace that the reader of the trace holds back.
    Inline(String),
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

type TraceRow = (i64, i64, Option<i64>, Option<i64>, Option<String>);

/// The trace of a job; the default if it has none.
pub fn stored(conn: &mut Conn, job: JobId) -> Result<StoredTrace, StoreError> {
    let row: Option<TraceRow> = traces::table
        .find(job.0)
        .select((
            traces::length,
            traces::crc32,
            traces::received_length,
            traces::received_crc32,
            traces::reader,
        ))
        .first(conn)
        .optional()?;
    let Some((length, crc32, received_length, received_crc32, reader)) = row else {
        return Ok(StoredTrace::default());
    };
    let extent = |length, crc32| Extent {
        length: u64::try_from(length).unwrap_or(0),
        crc32: u32::try_from(crc32).unwrap_or(0),
    };
    Ok(StoredTrace {
        received: extent(
            received_length.unwrap_or(length),
            received_crc32.unwrap_or(crc32),
        ),
        text: extent(length, crc32),
        reader: match reader {
            Some(text) => parse(&text, "reader of a trace")?,
            None if length == 0 => TimestampReader::default(),
            None => TimestampReader::plain(),
        },
    })
}

/// How much the runner of a job sent; zero if the job has no trace.
pub fn received(conn: &mut Conn, job: JobId) -> Result<Extent, StoreError> {
    Ok(stored(conn, job)?.received)
}

/// How much text the trace of a job has for readers; zero if the job has none.
pub fn extent(conn: &mut Conn, job: JobId) -> Result<Extent, StoreError> {
    let trace = stored(conn, job)?;
    let end = end_of(conn, job, &trace)?;
    Ok(trace.text.extended(end.as_bytes()))
}

/// The text after the last chunk, which the reader holds back until more arrives.
fn end_of(conn: &mut Conn, job: JobId, trace: &StoredTrace) -> Result<String, StoreError> {
    if trace.reader.is_plain() || trace.received.length == 0 {
        return Ok(String::new());
    }
    let finished_at: Option<Option<i64>> = jobs::table
        .find(job.0)
        .select(jobs::finished_at)
        .first(conn)
        .optional()?;
    Ok(trace.reader.end(finished_at.flatten().is_some()))
}

/// Appends to a trace that was read as `before`. `after` is the trace including `chunk`, which is
/// absent if what was received makes no more text certain.
///
/// # Errors
/// `TraceGap` if the runner sent something else after `before`, `Erased` if the job was erased.
pub fn append(
    conn: &mut Conn,
    job: JobId,
    before: &StoredTrace,
    chunk: Option<&Chunk>,
    after: &StoredTrace,
) -> Result<(), StoreError> {
    if get_locked(conn, job)?.erased_at.is_some() {
        return Err(StoreError::Erased);
    }
    let held = stored(conn, job)?;
    // The runner sends ranges and may repeat one whose answer it lost.
    if held.received.length != before.received.length {
        return Err(StoreError::TraceGap {
            held: held.received.length,
        });
    }
    if held != *before {
        return Err(StoreError::Stale);
    }
    let columns = (
        traces::length.eq(signed(after.text.length)),
        traces::crc32.eq(i64::from(after.text.crc32)),
        traces::received_length.eq(signed(after.received.length)),
        traces::received_crc32.eq(i64::from(after.received.crc32)),
        traces::reader.eq((!after.reader.is_plain()).then(|| after.reader.to_string())),
    );
    let changed = if held.received.length == 0 {
        // An empty trace may or may not have a row.
        diesel::delete(traces::table.find(job.0).filter(traces::length.eq(0))).execute(conn)?;
        diesel::insert_into(traces::table)
            .values((traces::job_id.eq(job.0), columns))
            .execute(conn)?
    } else {
        diesel::update(
            traces::table
                .find(job.0)
                // A concurrent append changes the length, and this one then fails instead of overlapping.
                .filter(traces::length.eq(signed(held.text.length))),
        )
        .set(columns)
        .execute(conn)?
    };
    if changed == 0 {
        return Err(StoreError::Stale);
    }
    match chunk {
        Some(chunk) => insert_chunk(conn, job, chunk),
        None => Ok(()),
    }
}

/// Replaces the whole trace. Returns the blobs that are no longer referenced.
///
/// # Errors
/// `Erased` if the job was erased.
pub fn replace(
    conn: &mut Conn,
    job: JobId,
    chunk: Option<&Chunk>,
    whole: &StoredTrace,
) -> Result<Vec<String>, StoreError> {
    if get_locked(conn, job)?.erased_at.is_some() {
        return Err(StoreError::Erased);
    }
    let unused = clear(conn, job)?;
    append(conn, job, &StoredTrace::default(), chunk, whole)?;
    Ok(unused)
}

/// Deletes a trace. Returns the blobs that are no longer referenced.
pub fn clear(conn: &mut Conn, job: JobId) -> Result<Vec<String>, StoreError> {
    locks::lock_job(conn, job)?;
    let keys = trace_chunks::table
        .filter(trace_chunks::job_id.eq(job.0))
        .select(trace_chunks::blob_key)
        .load(conn)?;
    diesel::delete(trace_chunks::table.filter(trace_chunks::job_id.eq(job.0))).execute(conn)?;
    diesel::delete(traces::table.find(job.0)).execute(conn)?;
    Ok(keys)
}

/// The chunks that contain the bytes of `range`, in order.
pub fn chunks_in(conn: &mut Conn, job: JobId, range: Range<u64>) -> Result<Vec<Chunk>, StoreError> {
    let rows: Vec<ChunkRow> = trace_chunks::table
        .filter(trace_chunks::job_id.eq(job.0))
        // The range may begin in the middle of a chunk, so the end of the chunk is compared.
        .filter((trace_chunks::start + trace_chunks::length).gt(signed(range.start)))
        .filter(trace_chunks::start.lt(signed(range.end)))
        .order(trace_chunks::start)
        .select((
            trace_chunks::start,
            trace_chunks::length,
            trace_chunks::blob_key,
            trace_chunks::lines,
            trace_chunks::ends_line,
            trace_chunks::at,
            trace_chunks::line_times,
        ))
        .load(conn)?;
    let mut chunks: Vec<Chunk> = rows.into_iter().map(read_chunk).collect::<Result<_, _>>()?;
    let trace = stored(conn, job)?;
    let end = end_of(conn, job, &trace)?;
    let start = trace.text.length;
    let length = end.len() as u64;
    if start < range.end && start + length > range.start && length > 0 {
        chunks.push(Chunk {
            start,
            length,
            lines: None,
            source: ChunkSource::Inline(end),
        });
    }
    Ok(chunks)
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
        },
        lines,
    })
}

/// Inserts a chunk whose text is in a blob. Inline text belongs to the reader's state.
fn insert_chunk(conn: &mut Conn, job: JobId, chunk: &Chunk) -> Result<(), StoreError> {
    let ChunkSource::Blob { key, line_times } = &chunk.source else {
        return Ok(());
    };
    diesel::insert_into(trace_chunks::table)
        .values((
            trace_chunks::job_id.eq(job.0),
            trace_chunks::start.eq(signed(chunk.start)),
            trace_chunks::length.eq(signed(chunk.length)),
            trace_chunks::blob_key.eq(key),
            trace_chunks::lines.eq(chunk.lines.map(|lines| signed(lines.count))),
            trace_chunks::ends_line.eq(chunk.lines.map(|lines| lines.ends)),
            trace_chunks::at.eq(chunk.lines.map(|lines| to_ms(lines.at))),
            trace_chunks::line_times.eq(line_times.map(signed)),
        ))
        .execute(conn)?;
    Ok(())
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

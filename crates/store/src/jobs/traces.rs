//! Traces: which bytes are stored, and in which blobs.

use std::ops::Range;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::JobId;

use crate::engine::connection::Conn;
use crate::engine::locks;
use crate::engine::time::{from_opt_ms, to_ms};
use crate::error::StoreError;
use crate::jobs::queries::get_locked;
use crate::schema::{trace_chunks, traces};

/// How much of a trace is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// In bytes.
    pub length: u64,
    /// CRC-32 of all bytes.
    pub crc32: u32,
}

/// A range of bytes of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its offset in the trace, in bytes.
    pub start: u64,
    /// In bytes.
    pub length: u64,
    pub blob_key: String,
    /// Absent if the lines were not counted.
    pub lines: Option<Lines>,
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

/// How much of a trace is stored; zero if the job has none.
pub fn extent(conn: &mut Conn, job: JobId) -> Result<Extent, StoreError> {
    let row: Option<(i64, i64)> = traces::table
        .find(job.0)
        .select((traces::length, traces::crc32))
        .first(conn)
        .optional()?;
    Ok(row.map_or_else(Extent::default, |(length, crc32)| Extent {
        length: u64::try_from(length).unwrap_or(0),
        crc32: u32::try_from(crc32).unwrap_or(0),
    }))
}

/// Appends a chunk to a trace. `whole` is the extent of the trace including the chunk.
///
/// # Errors
/// `TraceGap` if the chunk does not begin at the end of the trace, `Erased` if the job was erased.
pub fn append(conn: &mut Conn, job: JobId, chunk: &Chunk, whole: Extent) -> Result<(), StoreError> {
    if get_locked(conn, job)?.erased_at.is_some() {
        return Err(StoreError::Erased);
    }
    let held = extent(conn, job)?.length;
    // The runner sends ranges and may repeat one whose answer it lost.
    if held != chunk.start {
        return Err(StoreError::TraceGap { held });
    }
    let changed = if held == 0 {
        // An empty trace may or may not have a row.
        diesel::delete(traces::table.find(job.0).filter(traces::length.eq(0))).execute(conn)?;
        diesel::insert_into(traces::table)
            .values((
                traces::job_id.eq(job.0),
                traces::length.eq(signed(whole.length)),
                traces::crc32.eq(i64::from(whole.crc32)),
            ))
            .execute(conn)?
    } else {
        diesel::update(
            traces::table
                .find(job.0)
                // A concurrent append changes the length, and this one then fails instead of overlapping.
                .filter(traces::length.eq(signed(held))),
        )
        .set((
            traces::length.eq(signed(whole.length)),
            traces::crc32.eq(i64::from(whole.crc32)),
        ))
        .execute(conn)?
    };
    if changed == 0 {
        return Err(StoreError::Stale);
    }
    insert_chunk(conn, job, chunk)
}

/// Replaces the whole trace with one chunk. Returns the blobs that are no longer referenced.
///
/// # Errors
/// `Erased` if the job was erased.
pub fn replace(
    conn: &mut Conn,
    job: JobId,
    chunk: &Chunk,
    whole: Extent,
) -> Result<Vec<String>, StoreError> {
    if get_locked(conn, job)?.erased_at.is_some() {
        return Err(StoreError::Erased);
    }
    let unused = clear(conn, job)?;
    append(conn, job, chunk, whole)?;
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
        ))
        .load(conn)?;
    rows.into_iter().map(read_chunk).collect()
}

type ChunkRow = (i64, i64, String, Option<i64>, Option<bool>, Option<i64>);

fn read_chunk((start, length, blob_key, count, ends, at): ChunkRow) -> Result<Chunk, StoreError> {
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
        blob_key,
        lines,
    })
}

fn insert_chunk(conn: &mut Conn, job: JobId, chunk: &Chunk) -> Result<(), StoreError> {
    diesel::insert_into(trace_chunks::table)
        .values((
            trace_chunks::job_id.eq(job.0),
            trace_chunks::start.eq(signed(chunk.start)),
            trace_chunks::length.eq(signed(chunk.length)),
            trace_chunks::blob_key.eq(&chunk.blob_key),
            trace_chunks::lines.eq(chunk.lines.map(|lines| signed(lines.count))),
            trace_chunks::ends_line.eq(chunk.lines.map(|lines| lines.ends)),
            trace_chunks::at.eq(chunk.lines.map(|lines| to_ms(lines.at))),
        ))
        .execute(conn)?;
    Ok(())
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

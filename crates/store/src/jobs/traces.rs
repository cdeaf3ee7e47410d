//! Traces: which bytes are stored, and in which blobs.
//!
//! What is stored is text without the headers of lines, so it may be shorter than what the runner
//! sent. Of a trace beyond its limit, a head and a tail are stored. Offsets are those of the text that
//! readers see, except where the runner's count is named, or an offset behind the head.

mod chunks;
mod text;

use diesel::prelude::*;
use slipway_domain::{JobId, TimestampReader};

pub(crate) use self::chunks::blobs_of;
pub use self::chunks::{Chunk, ChunkSource, Lines, tail_chunks_in};
pub use self::text::{View, chunks_in, extent};
use crate::engine::connection::Conn;
use crate::engine::locks;
use crate::engine::time::parse;
use crate::error::StoreError;
use crate::jobs::queries::get_locked;
use crate::schema::traces;

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
    /// What the runner sent, kept or not.
    pub received: Extent,
    /// The text that is certain, up to the tail.
    pub text: Extent,
    /// What the reader holds back is neither in `text` nor in the tail.
    pub reader: TimestampReader,
    /// What follows `text` because that has no space for it; absent while it has.
    pub tail: Option<TailExtent>,
}

/// The text that followed the head of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TailExtent {
    /// How much followed, kept or not, in bytes.
    pub length: u64,
    /// Where in it the part begins that is kept, in bytes: so many are missing.
    pub start: u64,
}

/// New text of a trace. A part is absent if nothing is added to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewChunks {
    pub head: Option<Chunk>,
    /// Its start is an offset behind the head.
    pub tail: Option<Chunk>,
}

type TraceRow = (
    i64,
    i64,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<i64>,
    Option<i64>,
);

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
            traces::tail_length,
            traces::tail_start,
        ))
        .first(conn)
        .optional()?;
    let Some((length, crc32, received_length, received_crc32, reader, tail_length, tail_start)) =
        row
    else {
        return Ok(StoredTrace::default());
    };
    let bytes = |count: i64| u64::try_from(count).unwrap_or(0);
    let extent = |length, crc32| Extent {
        length: bytes(length),
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
            None if received_length.unwrap_or(length) == 0 => TimestampReader::default(),
            None => TimestampReader::plain(),
        },
        tail: tail_length.map(|length| TailExtent {
            length: bytes(length),
            start: tail_start.map_or(0, bytes),
        }),
    })
}

/// How much the runner of a job sent; zero if the job has no trace.
pub fn received(conn: &mut Conn, job: JobId) -> Result<Extent, StoreError> {
    Ok(stored(conn, job)?.received)
}

/// Appends to a trace that was read as `before`. `after` is the trace including `new`, which is empty
/// if what was received makes no more text certain. Returns the blobs that are no longer referenced,
/// because the tail of `after` starts behind them.
///
/// # Errors
/// `TraceGap` if the runner sent something else after `before`, `Erased` if the job was erased.
pub fn append(
    conn: &mut Conn,
    job: JobId,
    before: &StoredTrace,
    new: &NewChunks,
    after: &StoredTrace,
) -> Result<Vec<String>, StoreError> {
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
        traces::tail_length.eq(after.tail.map(|tail| signed(tail.length))),
        traces::tail_start.eq(after.tail.map(|tail| signed(tail.start))),
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
    if let Some(chunk) = &new.head {
        chunks::insert_into_head(conn, job, chunk)?;
    }
    if let Some(chunk) = &new.tail {
        chunks::insert_into_tail(conn, job, chunk)?;
    }
    match after.tail {
        Some(tail) if before.tail.is_some_and(|before| before.start < tail.start) => {
            chunks::delete_before(conn, job, tail.start)
        }
        _ => Ok(Vec::new()),
    }
}

/// Replaces the whole trace. Returns the blobs that are no longer referenced.
///
/// # Errors
/// `Erased` if the job was erased.
pub fn replace(
    conn: &mut Conn,
    job: JobId,
    new: &NewChunks,
    whole: &StoredTrace,
) -> Result<Vec<String>, StoreError> {
    if get_locked(conn, job)?.erased_at.is_some() {
        return Err(StoreError::Erased);
    }
    let unused = clear(conn, job)?;
    append(conn, job, &StoredTrace::default(), new, whole)?;
    Ok(unused)
}

/// Deletes a trace. Returns the blobs that are no longer referenced.
pub fn clear(conn: &mut Conn, job: JobId) -> Result<Vec<String>, StoreError> {
    locks::lock_job(conn, job)?;
    let keys = blobs_of(conn, job)?;
    chunks::delete_all(conn, job)?;
    diesel::delete(traces::table.find(job.0)).execute(conn)?;
    Ok(keys)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

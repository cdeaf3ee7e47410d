//! Chunks of a trace: which part of a range they hold, and when their lines were written.
//!
//! The blob of a chunk holds its text and, if the runner sent them, the times of the lines.

use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use slipway_domain::timestamps::{LineTime, TimedText};
use slipway_domain::{BuildId, JobId};
use slipway_store::Conn;
use slipway_store::traces::{self, Chunk, ChunkSource, Lines, View};

use crate::error::FarmError;
use crate::farm::Farm;

/// Where bytes begin that arrived together, or a line with a time of its own, and when that was, if
/// it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) start: u64,
    pub(crate) at: Option<DateTime<Utc>>,
}

/// Adds the arrival of a chunk to those before it. `times` are the times of the lines that begin in
/// the chunk; absent if the trace has none.
pub(crate) fn add_arrival(
    arrivals: &mut Vec<Arrival>,
    start: u64,
    at: Option<DateTime<Utc>>,
    times: Option<&[LineTime]>,
) {
    let Some(times) = times else {
        return arrivals.push(Arrival { start, at });
    };
    let line = |time: &LineTime| Arrival {
        start: start + time.offset as u64,
        at: Some(time.at),
    };
    let first = times.first().map(line);
    // The rest of an earlier line has the time of that line, if it is known.
    if arrivals.is_empty() && first.is_none_or(|line| line.start > start) {
        arrivals.push(Arrival { start, at });
    }
    arrivals.extend(times.iter().map(line));
}

/// The part of a chunk that lies in `range`, relative to the chunk; `None` when no part does.
pub(crate) fn part_of(chunk: &Chunk, range: &Range<u64>) -> Option<Range<u64>> {
    let from = range.start.max(chunk.start);
    let to = range.end.min(chunk.start + chunk.length);
    (from < to).then(|| from - chunk.start..to - chunk.start)
}

/// The length of a stored line time: its offset in 4 bytes and nanoseconds in 8, little-endian.
const TIME_BYTES: usize = 12;

/// The blob of a text with times.
pub(crate) fn blob_of(timed: &TimedText) -> Bytes {
    let mut blob = Vec::with_capacity(timed.text.len() + timed.times.len() * TIME_BYTES);
    blob.extend_from_slice(&timed.text);
    for time in &timed.times {
        // A chunk is far shorter, and the range of nanoseconds ends in 2262.
        let offset = u32::try_from(time.offset).unwrap_or(u32::MAX);
        let nanos = time.at.timestamp_nanos_opt().unwrap_or(i64::MAX);
        blob.extend_from_slice(&offset.to_le_bytes());
        blob.extend_from_slice(&nanos.to_le_bytes());
    }
    blob.into()
}

/// The folder of the blobs of a trace.
pub(crate) fn trace_folder(job: JobId) -> String {
    format!("traces/{job}")
}

/// The blob of a chunk, and its size; `None` if the chunk has no blob.
fn stored_size(chunk: &Chunk) -> Option<(String, u64)> {
    match &chunk.source {
        ChunkSource::Blob {
            key,
            line_times,
            skipped,
        } => {
            let times = line_times.unwrap_or(0) * TIME_BYTES as u64;
            Some((key.clone(), skipped + chunk.length + times))
        }
        ChunkSource::Inline(_) | ChunkSource::Notice(_) => None,
    }
}

/// Reads the times that [`blob_of`] wrote.
fn times_of(bytes: &[u8]) -> Vec<LineTime> {
    let (times, _) = bytes.as_chunks::<TIME_BYTES>();
    let time = |&[a, b, c, d, ref nanos @ ..]: &[u8; TIME_BYTES]| LineTime {
        offset: u32::from_le_bytes([a, b, c, d]) as usize,
        at: DateTime::from_timestamp_nanos(i64::from_le_bytes(*nanos)),
    };
    times.iter().map(time).collect()
}

/// What errors call a part of a trace where its job is not known.
const SOME_PART: &str = "a part of a trace";

impl Farm {
    /// Checks that the bytes of a trace from `from` on are stored, before the first of them is sent.
    ///
    /// # Errors
    /// `ContentMissing` if the storage lacks a part of them.
    pub async fn check_trace(&self, job: JobId, from: u64) -> Result<(), FarmError> {
        let read = move |conn: &mut Conn| traces::chunks_in(conn, job, from..u64::MAX, View::Now);
        let chunks = self.read(read).await?;
        self.check_chunks(job, &chunks).await
    }

    /// [`Farm::check_trace`] for all attempts of a build.
    pub async fn check_traces_of(&self, build: BuildId) -> Result<(), FarmError> {
        for job in self.jobs_of(build).await? {
            self.check_trace(job.id, 0).await?;
        }
        Ok(())
    }

    /// Checks that the blobs of these chunks of a job are whole.
    pub(crate) async fn check_chunks(&self, job: JobId, chunks: &[Chunk]) -> Result<(), FarmError> {
        let blobs: Vec<(String, u64)> = chunks.iter().filter_map(stored_size).collect();
        let checked = self.inner.blobs.check(&trace_folder(job), &blobs).await;
        checked.map_err(FarmError::missing(format!(
            "a part of the trace of job {job}"
        )))
    }

    /// The bytes of `part` of a chunk.
    pub(crate) async fn chunk_bytes(
        &self,
        source: &ChunkSource,
        part: Range<u64>,
    ) -> Result<Bytes, FarmError> {
        match source {
            ChunkSource::Blob { key, skipped, .. } => {
                let part = part.start + skipped..part.end + skipped;
                let read = self.inner.blobs.read(key, Some(part)).await;
                read.map_err(FarmError::missing(SOME_PART))
            }
            ChunkSource::Inline(text) | ChunkSource::Notice(text) => {
                let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(text.len());
                let part = index(part.start)..index(part.end);
                let part = text.as_bytes().get(part).unwrap_or_default();
                Ok(Bytes::copy_from_slice(part))
            }
        }
    }

    /// The times of the lines that begin in a chunk; `None` if its trace has none.
    ///
    /// # Errors
    /// `Unavailable` if the blob cannot be read; `ContentMissing`.
    pub async fn line_times(&self, chunk: &Chunk) -> Result<Option<Vec<LineTime>>, FarmError> {
        match &chunk.source {
            ChunkSource::Inline(_) | ChunkSource::Notice(_) => Ok(Some(Vec::new())),
            ChunkSource::Blob {
                line_times: None, ..
            } => Ok(None),
            ChunkSource::Blob {
                line_times: Some(0),
                ..
            } => Ok(Some(Vec::new())),
            ChunkSource::Blob {
                key,
                line_times: Some(count),
                skipped,
            } => {
                let start = skipped + chunk.length;
                let end = start + count * TIME_BYTES as u64;
                let read = self.inner.blobs.read(key, Some(start..end)).await;
                let bytes = read.map_err(FarmError::missing(SOME_PART))?;
                let mut times = times_of(&bytes);
                let skipped = usize::try_from(*skipped).unwrap_or(usize::MAX);
                times.retain(|time| time.offset >= skipped);
                for time in &mut times {
                    time.offset -= skipped;
                }
                Ok(Some(times))
            }
        }
    }

    /// When the bytes of `chunks` arrived, or their lines were written.
    pub(crate) async fn arrivals_of(&self, chunks: &[Chunk]) -> Result<Vec<Arrival>, FarmError> {
        let mut arrivals = Vec::new();
        for chunk in chunks {
            let times = self.line_times(chunk).await?;
            let at = chunk.lines.map(|lines| lines.at);
            add_arrival(&mut arrivals, chunk.start, at, times.as_deref());
        }
        Ok(arrivals)
    }
}

/// Counts the lines that end in the bytes of a chunk, which arrived at `at`.
pub(crate) fn lines_of(bytes: &[u8], at: DateTime<Utc>) -> Lines {
    let ends = bytes.iter().filter(|byte| **byte == b'\n');
    Lines {
        count: ends.count() as u64,
        ends: bytes.ends_with(b"\n"),
        at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(offset: usize, seconds: i64) -> LineTime {
        LineTime {
            offset,
            at: DateTime::from_timestamp(seconds, 123_456_789).unwrap(),
        }
    }

    #[test]
    fn a_blob_holds_its_text_and_then_the_times() {
        let timed = TimedText {
            text: b"a\nb".to_vec(),
            times: vec![time(0, 1), time(2, 2)],
        };
        let blob = blob_of(&timed);
        assert_eq!(&blob[..3], b"a\nb");
        assert_eq!(times_of(&blob[3..]), timed.times);
    }

    #[test]
    fn the_rest_of_a_line_has_the_time_of_the_line() {
        let received = DateTime::from_timestamp(9, 0);
        let mut arrivals = Vec::new();
        add_arrival(&mut arrivals, 10, received, Some(&[time(4, 1)]));
        add_arrival(&mut arrivals, 20, received, Some(&[time(5, 2)]));
        add_arrival(&mut arrivals, 30, received, Some(&[]));
        let starts: Vec<u64> = arrivals.iter().map(|arrival| arrival.start).collect();
        assert_eq!(starts, [10, 14, 25]);
        assert_eq!(arrivals[0].at, received);
        add_arrival(&mut arrivals, 40, received, None);
        assert_eq!(arrivals.last().map(|last| last.at), Some(received));
    }

    #[test]
    fn part_of_a_chunk_is_its_overlap_with_the_range() {
        let chunk = Chunk {
            start: 10,
            length: 5,
            source: ChunkSource::Inline(String::new()),
            lines: None,
        };
        let part = |range: Range<u64>| part_of(&chunk, &range);
        assert_eq!(part(0..u64::MAX), Some(0..5));
        assert_eq!(part(12..13), Some(2..3));
        assert_eq!(part(15..20), None);
        assert_eq!(part(0..10), None);
    }
}

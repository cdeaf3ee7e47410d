//! Chunks of a trace: when they arrived, which part of a range they hold, and how the extent of a
//! trace grows.

use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use slipway_store::traces::{Chunk, Extent, Lines};

/// Where bytes begin that arrived together, and when they arrived, if that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) start: u64,
    pub(crate) at: Option<DateTime<Utc>>,
}

/// When the bytes of `chunks` arrived.
pub(crate) fn arrivals_of(chunks: &[Chunk]) -> Vec<Arrival> {
    let arrival = |chunk: &Chunk| Arrival {
        start: chunk.start,
        at: chunk.lines.map(|lines| lines.at),
    };
    chunks.iter().map(arrival).collect()
}

/// The blob of a chunk and the part of it that lies in `range`; `None` when no part does.
pub(crate) fn part_of(chunk: &Chunk, range: &Range<u64>) -> Option<(String, Range<u64>)> {
    let from = range.start.max(chunk.start);
    let to = range.end.min(chunk.start + chunk.length);
    (from < to).then(|| (chunk.blob_key.clone(), from - chunk.start..to - chunk.start))
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

/// The extent of a trace of the extent `held` with `bytes` at its end.
pub(crate) fn extended(held: Extent, bytes: &Bytes) -> Extent {
    let mut hasher = crc32fast::Hasher::new_with_initial_len(held.crc32, held.length);
    hasher.update(bytes);
    Extent {
        length: held.length + bytes.len() as u64,
        crc32: hasher.finalize(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_two_chunks_is_that_of_the_whole() {
        let whole = extended(Extent::default(), &Bytes::from_static(b"hello world"));
        let half = extended(Extent::default(), &Bytes::from_static(b"hello "));
        assert_eq!(extended(half, &Bytes::from_static(b"world")), whole);
        assert_eq!(
            whole,
            Extent {
                length: 11,
                crc32: crc32fast::hash(b"hello world")
            }
        );
    }

    #[test]
    fn part_of_a_chunk_is_its_overlap_with_the_range() {
        let chunk = Chunk {
            start: 10,
            length: 5,
            blob_key: "k".into(),
            lines: None,
        };
        let part = |range: Range<u64>| part_of(&chunk, &range).map(|(_, part)| part);
        assert_eq!(part(0..u64::MAX), Some(0..5));
        assert_eq!(part(12..13), Some(2..3));
        assert_eq!(part(15..20), None);
        assert_eq!(part(0..10), None);
    }
}

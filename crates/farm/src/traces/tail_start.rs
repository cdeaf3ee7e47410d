//! Where the kept tail of a trace starts: at the first line that is in its last bytes, and never
//! within something that is masked.
//!
//! The masked text ends there in both directions, so half of a secret would be shown otherwise.

use std::ops::Range;

use slipway_domain::JobId;
use slipway_domain::trace_limit::continuation;
use slipway_masking::in_place::Mask;
use slipway_store::traces::{self, Chunk, StoredTrace, View};
use slipway_store::{Conn, jobs};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::traces::chunks::part_of;
use crate::traces::new_text::Received;

/// How far to look for a line first, in bytes. Few lines are longer.
const NEAR: u64 = 8 << 10;
/// How many bytes of a UTF-8 character can follow its first one.
const MAX_CONTINUATION: usize = 3;

impl Farm {
    /// Where the tail of a trace starts with the bytes that were `received` after `before`: an offset
    /// behind the head. At least `kept` bytes follow it, unless it starts at a later line.
    pub(super) async fn tail_start(
        &self,
        job: JobId,
        before: &StoredTrace,
        received: &Received,
        kept: u64,
    ) -> Result<u64, FarmError> {
        let length = received.after.tail.map_or(0, |tail| tail.length);
        let old = before.tail.unwrap_or_default();
        let least = length.saturating_sub(kept);
        // It started at a line already, and that line is still in the last bytes.
        if least <= old.start {
            return Ok(old.start);
        }
        let farm = self.clone();
        let read = move |conn: &mut Conn| {
            let row = jobs::get(conn, job)?;
            farm.trace_mask(conn, &row)
        };
        let mask = self.read(read).await?;
        // Nothing that is masked reaches over the old start, or further back than that.
        let from = least.saturating_sub(mask.reach() + 1).max(old.start);
        let context = if from == 0 {
            self.end_of_head(job, before, received, mask.reach())
                .await?
        } else {
            Vec::new()
        };
        let mut to = (least + NEAR).min(length);
        loop {
            let text = self
                .behind_head(job, old.length, received, from..to)
                .await?;
            let search = Search {
                mask: &mask,
                context: &context,
                text: &text,
                least: index(least - from),
                is_whole: to == length,
            };
            if let Some(start) = search.start() {
                return Ok(from + start as u64);
            }
            to = length;
        }
    }

    /// The last bytes of a head, up to `count`.
    async fn end_of_head(
        &self,
        job: JobId,
        before: &StoredTrace,
        received: &Received,
        count: u64,
    ) -> Result<Vec<u8>, FarmError> {
        let head = before.text.length;
        let new = &received.head.text;
        let missing = count.saturating_sub(new.len() as u64).min(head);
        let range = head - missing..head;
        let stored = if range.is_empty() {
            Vec::new()
        } else {
            let wanted = range.clone();
            let read =
                move |conn: &mut Conn| traces::chunks_in(conn, job, wanted.clone(), View::Now);
            self.read(read).await?
        };
        let mut bytes = self.bytes_of(job, &stored, &range).await?;
        bytes.extend_from_slice(&new[new.len().saturating_sub(index(count))..]);
        Ok(bytes)
    }

    /// The bytes of `range` behind the head, of which `held` bytes arrived before `received`.
    async fn behind_head(
        &self,
        job: JobId,
        held: u64,
        received: &Received,
        range: Range<u64>,
    ) -> Result<Vec<u8>, FarmError> {
        let old = range.start.min(held)..range.end.min(held);
        let chunks = if old.is_empty() {
            Vec::new()
        } else {
            let wanted = old.clone();
            let read = move |conn: &mut Conn| traces::tail_chunks_in(conn, job, &wanted);
            self.read(read).await?
        };
        let mut bytes = self.bytes_of(job, &chunks, &old).await?;
        let new = &received.tail.text;
        let at = |offset: u64| index(offset.saturating_sub(held)).min(new.len());
        bytes.extend_from_slice(&new[at(range.start)..at(range.end)]);
        Ok(bytes)
    }

    /// The bytes of `range` in these chunks. Where bytes are missing in the storage there are zeros:
    /// a runner must not wait for them.
    async fn bytes_of(
        &self,
        job: JobId,
        chunks: &[Chunk],
        range: &Range<u64>,
    ) -> Result<Vec<u8>, FarmError> {
        let mut bytes = vec![0; index(range.end - range.start)];
        for chunk in chunks {
            let Some(part) = part_of(chunk, range) else {
                continue;
            };
            let at = index(chunk.start + part.start - range.start);
            match self.chunk_bytes(&chunk.source, part).await {
                Ok(read) => {
                    let target = bytes.iter_mut().skip(at);
                    target.zip(&read).for_each(|(to, from)| *to = *from);
                }
                Err(error @ FarmError::ContentMissing { .. }) => {
                    tracing::warn!(job.id = %job, "A part of the trace of job {job} is missing");
                    error.log();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}

fn index(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// A search for the start of a tail.
struct Search<'a> {
    mask: &'a Mask,
    /// What is before the text.
    context: &'a [u8],
    text: &'a [u8],
    /// The first offset in the text at which the tail may start; not 0.
    least: usize,
    /// Whether nothing follows the text.
    is_whole: bool,
}

impl Search<'_> {
    /// The offset in the text at which the tail starts; `None` if more text must be read for it.
    fn start(&self) -> Option<usize> {
        let shift = self.context.len();
        let hidden = self.mask.hidden_in(&[self.context, self.text].concat());
        let around = |at: usize| {
            let behind = hidden.partition_point(|range| range.end <= at + shift);
            hidden.get(behind).filter(|range| range.start < at + shift)
        };
        let is_start = |at: &usize| self.text.get(at - 1) == Some(&b'\n') && around(*at).is_none();
        if let Some(line) = (self.least..self.text.len()).find(is_start) {
            return Some(line);
        }
        if !self.is_whole {
            return None;
        }
        // One long line. Its end is shown from a whole character on, and what is masked is kept whole.
        let rest = self.text.get(self.least..).unwrap_or_default();
        let start = self.least + continuation(rest, MAX_CONTINUATION);
        Some(around(start).map_or(start, |range| range.start.saturating_sub(shift)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "slj_0123456789abcdef";

    fn start(context: &str, text: &str, least: usize, is_whole: bool) -> Option<usize> {
        let search = Search {
            mask: &Mask::new([SECRET]),
            context: context.as_bytes(),
            text: text.as_bytes(),
            least,
            is_whole,
        };
        search.start()
    }

    #[test]
    fn a_tail_starts_at_the_first_line_in_its_bytes() {
        assert_eq!(start("", "one\ntwo\nthree", 3, false), Some(4));
        assert_eq!(start("", "one\ntwo\nthree", 4, true), Some(4));
        assert_eq!(start("", "one\ntwo\nthree", 5, true), Some(8));
        assert_eq!(start("", "one\ntwo\n", 5, false), None);
    }

    #[test]
    fn a_tail_without_a_line_starts_at_a_character() {
        assert_eq!(start("", "one\ntwo\n", 5, true), Some(5));
        assert_eq!(start("", "x€€", 2, true), Some(4));
        assert_eq!(start("", "one", 3, true), Some(3));
    }

    #[test]
    fn a_tail_does_not_start_within_a_secret() {
        let text = format!("ab{SECRET}cd");
        for least in 3..2 + SECRET.len() {
            assert_eq!(start("", &text, least, true), Some(2), "{least}");
        }
        assert_eq!(start("", &text, 2 + SECRET.len(), true), Some(22));
        // It may be one.
        assert_eq!(start("", "ab slj_01", 5, true), Some(3));
        // It began in the head.
        assert_eq!(start(&SECRET[..9], &SECRET[9..], 4, true), Some(0));
        assert_eq!(
            start(&SECRET[..9], &format!("{}\n", &SECRET[9..]), 2, true),
            Some(0)
        );
    }
}

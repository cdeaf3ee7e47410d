//! Which entries the log of a build has: the attempts as rows tell them, in sections of which the
//! lengths are known before anything is read.

use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use slipway_domain::{BuildId, JobId, JobState, Outcome};
use slipway_store::builds::Build;
use slipway_store::jobs::{self, Job};
use slipway_store::phases::{self, PhaseEntry};
use slipway_store::traces::{self, Chunk};
use slipway_store::{Conn, StoreError};

use super::entry::LogEntry;
use crate::builds::quay::quay_phases::{Fault, PackagePhase, follows_at_once};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::traces::chunks::lines_of;

/// Entries that stand together.
pub(super) enum Section {
    /// One that says what happened.
    Heading(LogEntry),
    /// These lines of a trace, from 0.
    Lines(Arc<Trace>, Range<u64>),
}

impl Section {
    /// How many entries it has.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Heading(_) => 1,
            Self::Lines(_, lines) => lines.end - lines.start,
        }
    }

    /// The section without its first `count` entries, of which it has more.
    pub(super) fn skip(self, count: u64) -> Self {
        match self {
            Self::Heading(entry) => Self::Heading(entry),
            Self::Lines(trace, lines) => Self::Lines(trace, lines.start + count..lines.end),
        }
    }
}

/// What there is of an attempt's trace, with the lines that end in each part of it.
#[derive(Debug)]
pub(super) struct Trace {
    /// The attempt.
    pub(super) job: JobId,
    /// How much of it belongs to the log.
    pub(super) end: u64,
    parts: Vec<Part>,
    /// When the lines came of which nobody noted it.
    began: DateTime<Utc>,
}

#[cfg(test)]
impl Trace {
    /// One without a byte.
    pub(super) fn empty() -> Self {
        Self {
            job: JobId(1),
            end: 0,
            parts: Vec::new(),
            began: DateTime::UNIX_EPOCH,
        }
    }
}

/// A chunk of a trace, as far as it belongs to the log.
#[derive(Debug)]
struct Part {
    range: Range<u64>,
    /// How many lines end before it.
    before: u64,
    /// How many end in it.
    count: u64,
    /// Whether one ends where it ends.
    ends: bool,
    at: Option<DateTime<Utc>>,
}

impl Trace {
    /// Where to begin reading for a line, and how many lines end between there and its beginning.
    pub(super) fn before_line(&self, line: u64) -> (u64, u64) {
        let behind = self
            .parts
            .partition_point(|part| part.before + part.count < line);
        match self.parts.get(behind) {
            Some(part) if line > 0 => (part.range.start, line - part.before),
            _ => (0, 0),
        }
    }

    /// When the byte came that is at `offset`.
    pub(super) fn moment(&self, offset: u64) -> DateTime<Utc> {
        let part = self.parts.partition_point(|part| part.range.end <= offset);
        let part = self.parts.get(part);
        part.and_then(|part| part.at).unwrap_or(self.began)
    }

    /// How many lines have their end before `offset`, which is the end of a part.
    fn ends_before(&self, offset: u64) -> u64 {
        let behind = self.parts.partition_point(|part| part.range.end <= offset);
        let last = behind.checked_sub(1).and_then(|last| self.parts.get(last));
        last.map_or(0, |part| part.before + part.count)
    }

    /// How many lines there are; what has no end yet is one when `over`.
    fn lines(&self, over: bool) -> u64 {
        let Some(last) = self.parts.last() else {
            return 0;
        };
        last.before + last.count + u64::from(over && !last.ends)
    }
}

/// An attempt, as rows tell it.
struct Attempt {
    job: Job,
    phases: Vec<PhaseEntry>,
    chunks: Vec<Chunk>,
    /// When the farm made the next one because of how this one ended.
    tried_again: bool,
}

impl Attempt {
    /// How much of the trace belongs to the log: what there was when the attempt was over.
    fn end(&self) -> u64 {
        let over = self.phases.iter().find(|entry| entry.phase.is_none());
        over.map_or(u64::MAX, |over| over.trace_length)
    }

    fn headings_at_end(&self) -> Vec<LogEntry> {
        let JobState::Done(outcome) = self.job.state else {
            return Vec::new();
        };
        let at = self.job.finished_at.unwrap_or(self.job.created_at);
        let phase = |phase| LogEntry::Phase {
            at,
            phase,
            base: None,
        };
        match outcome {
            Outcome::Succeeded => vec![phase(PackagePhase::Complete)],
            Outcome::Canceled | Outcome::Skipped => Vec::new(),
            Outcome::Failed(reason) => {
                let fault = Fault::of(reason);
                let cause = self.job.failure_message.clone();
                let cause = cause.filter(|_| fault.shows_cause);
                let ended = PackagePhase::of_failed_attempt(reason, self.tried_again);
                vec![phase(ended), LogEntry::Error { at, fault, cause }]
            }
        }
    }
}

impl Farm {
    /// The sections of a build's log, as it is now.
    pub(super) async fn log_sections(&self, build: &Build) -> Result<Vec<Section>, FarmError> {
        let id = build.id;
        let read = move |conn: &mut Conn| attempts(conn, id);
        let mut sections = Vec::new();
        for attempt in self.read(read).await? {
            let trace = Arc::new(self.log_trace(&attempt).await?);
            let began = LogEntry::Phase {
                at: attempt.job.started_at.unwrap_or(attempt.job.created_at),
                phase: PackagePhase::BuildScheduled,
                base: None,
            };
            sections.push(Section::Heading(began));
            let (mut told, mut shown) = (PackagePhase::BuildScheduled, 0);
            for entry in &attempt.phases {
                let Some(phase) = entry.phase.map(PackagePhase::from) else {
                    continue;
                };
                // Two phases of the farm may be one here, and none is entered twice.
                if phase <= told {
                    continue;
                }
                told = phase;
                let lines = trace.ends_before(entry.trace_length).max(shown);
                sections.push(Section::Lines(trace.clone(), shown..lines));
                shown = lines;
                let base = entry.base_image.as_deref();
                sections.push(Section::Heading(LogEntry::Phase {
                    at: entry.at,
                    phase,
                    base: base.and_then(|base| base.parse().ok()),
                }));
            }
            let lines = trace.lines(attempt.job.state.is_done()).max(shown);
            sections.push(Section::Lines(trace.clone(), shown..lines));
            sections.extend(attempt.headings_at_end().into_iter().map(Section::Heading));
        }
        Ok(sections)
    }

    /// The trace of an attempt, cut where phases were entered, with the lines counted.
    async fn log_trace(&self, attempt: &Attempt) -> Result<Trace, FarmError> {
        let end = attempt.end();
        let marks: Vec<u64> = attempt
            .phases
            .iter()
            .map(|entry| entry.trace_length)
            .collect();
        let (mut parts, mut before) = (Vec::new(), 0);
        for chunk in &attempt.chunks {
            for range in cut(chunk.start..(chunk.start + chunk.length).min(end), &marks) {
                let (count, ends) = self.lines_in(chunk, &range).await?;
                parts.push(Part {
                    range,
                    before,
                    count,
                    ends,
                    at: chunk.lines.map(|lines| lines.at),
                });
                before += count;
            }
        }
        Ok(Trace {
            job: attempt.job.id,
            end: parts.last().map_or(0, |part| part.range.end),
            parts,
            began: attempt.job.started_at.unwrap_or(attempt.job.created_at),
        })
    }

    /// How many lines end in a part of a chunk, and whether one does where it ends. It is read only
    /// when the chunk's row does not tell.
    async fn lines_in(&self, chunk: &Chunk, range: &Range<u64>) -> Result<(u64, bool), FarmError> {
        if let Some(lines) = chunk.lines
            && *range == (chunk.start..chunk.start + chunk.length)
        {
            return Ok((lines.count, lines.ends));
        }
        let part = range.start - chunk.start..range.end - chunk.start;
        let mut bytes = self.inner.blobs.get(&chunk.blob_key, Some(part)).await?;
        let (mut count, mut ends) = (0, false);
        while let Some(bytes) = bytes.try_next().await? {
            let lines = lines_of(&bytes, self.now());
            count += lines.count;
            ends = lines.ends || (bytes.is_empty() && ends);
        }
        Ok((count, ends))
    }
}

/// The attempts of which the log tells, in the order in which they began: each once those before it
/// are over, so that what is told of one stands behind all that is told of others.
fn attempts(conn: &mut Conn, build: BuildId) -> Result<Vec<Attempt>, StoreError> {
    let jobs = jobs::of_build(conn, build)?;
    let mut begun: Vec<&Job> = jobs.iter().filter(|job| job.started_at.is_some()).collect();
    begun.sort_by_key(|job| (job.started_at, job.id));
    let mut told = Vec::new();
    for job in begun {
        let mut attempt = Attempt {
            job: job.clone(),
            phases: phases::of_job(conn, job.id)?,
            chunks: Vec::new(),
            tried_again: jobs.iter().any(|next| follows_at_once(next, job)),
        };
        attempt.chunks = traces::chunks_in(conn, job.id, 0..attempt.end())?;
        told.push(attempt);
        if !job.state.is_done() {
            break;
        }
    }
    Ok(told)
}

/// `range` in parts that end at those of the `marks` which lie in it.
fn cut(range: Range<u64>, marks: &[u64]) -> Vec<Range<u64>> {
    let mut parts = Vec::new();
    let mut start = range.start;
    for mark in marks {
        if start < *mark && *mark < range.end {
            parts.push(start..*mark);
            start = *mark;
        }
    }
    if start < range.end {
        parts.push(start..range.end);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(parts: &[(u64, u64, bool)]) -> Trace {
        let (mut at, mut before) = (0, 0);
        let parts = parts.iter().map(|(length, count, ends)| {
            let part = Part {
                range: at..at + length,
                before,
                count: *count,
                ends: *ends,
                at: None,
            };
            at += length;
            before += count;
            part
        });
        let parts = parts.collect();
        Trace {
            end: at,
            parts,
            ..Trace::empty()
        }
    }

    #[test]
    fn a_line_is_looked_for_in_the_part_in_which_the_one_before_it_ends() {
        // "a\nb\n" "c" "d\n" "e\nf"
        let trace = trace(&[(4, 2, true), (1, 0, false), (2, 1, true), (3, 1, false)]);
        assert_eq!(trace.before_line(0), (0, 0));
        assert_eq!(trace.before_line(1), (0, 1));
        assert_eq!(trace.before_line(2), (0, 2));
        assert_eq!(trace.before_line(3), (5, 1));
        assert_eq!(trace.before_line(4), (7, 1));
        assert_eq!(trace.lines(false), 4);
        assert_eq!(trace.lines(true), 5);
        assert_eq!(trace.ends_before(0), 0);
        assert_eq!(trace.ends_before(5), 2);
        assert_eq!(trace.ends_before(7), 3);
        assert_eq!(trace.ends_before(u64::MAX), 4);
    }

    #[test]
    fn a_trace_without_bytes_has_no_lines() {
        let trace = trace(&[]);
        assert_eq!(trace.before_line(0), (0, 0));
        assert_eq!((trace.lines(false), trace.lines(true)), (0, 0));
    }

    #[test]
    fn a_chunk_is_cut_where_phases_were_entered() {
        assert_eq!(cut(2..9, &[0, 2, 4, 4, 9, 12]), [2..4, 4..9]);
        assert_eq!(cut(2..9, &[]), vec![Range { start: 2, end: 9 }]);
        assert!(cut(9..9, &[9]).is_empty());
    }
}

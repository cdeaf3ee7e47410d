//! The sections of a log. Their lengths follow from rows, so that an entry is found without reading
//! the traces before it.

use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use slipway_domain::{JobId, JobState, Outcome};
use slipway_farm::{Attempt, Build, Farm, FarmError, TraceChunk};

use super::entries::LogEntry;
use crate::faults::Fault;
use crate::phases::QuayPhase;

/// Consecutive entries of a log.
pub(super) enum Section {
    /// A single entry that does not come from a trace.
    Heading(LogEntry),
    /// Lines of a trace, counted from 0.
    Lines(Arc<Trace>, Range<u64>),
}

impl Section {
    /// The number of entries.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Heading(_) => 1,
            Self::Lines(_, lines) => lines.end - lines.start,
        }
    }

    /// The section without its first `count` entries. It must have more than that.
    pub(super) fn skip(self, count: u64) -> Self {
        match self {
            Self::Heading(entry) => Self::Heading(entry),
            Self::Lines(trace, lines) => Self::Lines(trace, lines.start + count..lines.end),
        }
    }
}

/// The trace of an attempt, with the number of lines in each part of it.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) job: JobId,
    /// The length of the part that belongs to the log.
    pub(super) end: u64,
    parts: Vec<Part>,
    /// The chunks whose lines have times.
    timed: Vec<TraceChunk>,
    /// The time of lines whose own time was not stored.
    started: DateTime<Utc>,
}

#[cfg(test)]
impl Trace {
    pub(super) fn empty() -> Self {
        Self {
            job: JobId(1),
            end: 0,
            parts: Vec::new(),
            timed: Vec::new(),
            started: DateTime::UNIX_EPOCH,
        }
    }
}

/// A chunk of a trace, as far as it belongs to the log.
#[derive(Debug)]
struct Part {
    range: Range<u64>,
    /// The number of lines that end before it.
    before: u64,
    /// The number of lines that end in it.
    count: u64,
    /// Whether its last byte ends a line.
    ends: bool,
    at: Option<DateTime<Utc>>,
}

impl Trace {
    /// The trace of an attempt, split where phases were entered, with its lines counted.
    async fn of_attempt(farm: &Farm, attempt: &Attempt) -> Result<Self, FarmError> {
        let end = attempt.trace_end();
        let phases = attempt.phases.iter();
        let marks: Vec<u64> = phases.map(|entry| entry.trace_length).collect();
        let (mut parts, mut before) = (Vec::new(), 0);
        let timed = attempt.chunks.iter().filter(|chunk| chunk.has_times());
        let timed = timed.cloned().collect();
        let mut last_at = None;
        for chunk in &attempt.chunks {
            last_at = chunk.lines.map(|lines| lines.at).or(last_at);
            for range in split(chunk.start..(chunk.start + chunk.length).min(end), &marks) {
                let (count, ends) = farm.lines_in(chunk, &range).await?;
                parts.push(Part {
                    range,
                    before,
                    count,
                    ends,
                    at: last_at,
                });
                before += count;
            }
        }
        Ok(Self {
            job: attempt.job.id,
            end: parts.last().map_or(0, |part| part.range.end),
            parts,
            timed,
            started: attempt.job.started_at.unwrap_or(attempt.job.created_at),
        })
    }

    /// Where to start reading for a line, and how many lines to skip from there.
    pub(super) fn before_line(&self, line: u64) -> (u64, u64) {
        let behind = self
            .parts
            .partition_point(|part| part.before + part.count < line);
        match self.parts.get(behind) {
            Some(part) if line > 0 => (part.range.start, line - part.before),
            _ => (0, 0),
        }
    }

    /// The chunk with times that contains the byte at `offset`.
    pub(super) fn timed_chunk(&self, offset: u64) -> Option<&TraceChunk> {
        let behind = self.timed.partition_point(|chunk| chunk.end() <= offset);
        let chunk = self.timed.get(behind)?;
        (chunk.start <= offset).then_some(chunk)
    }

    /// When the byte at `offset` was received.
    pub(super) fn received_at(&self, offset: u64) -> DateTime<Utc> {
        let part = self.parts.partition_point(|part| part.range.end <= offset);
        let part = self.parts.get(part);
        part.and_then(|part| part.at).unwrap_or(self.started)
    }

    /// The number of lines that end before `offset`, which must be the end of a part.
    fn lines_before(&self, offset: u64) -> u64 {
        let behind = self.parts.partition_point(|part| part.range.end <= offset);
        let last = behind.checked_sub(1).and_then(|last| self.parts.get(last));
        last.map_or(0, |part| part.before + part.count)
    }

    /// The number of lines. An incomplete last line counts if the attempt `is_finished`.
    fn lines(&self, is_finished: bool) -> u64 {
        let Some(last) = self.parts.last() else {
            return 0;
        };
        last.before + last.count + u64::from(is_finished && !last.ends)
    }
}

/// The sections of a build's log at this moment.
pub(super) async fn of_build(farm: &Farm, build: &Build) -> Result<Vec<Section>, FarmError> {
    let mut sections = Vec::new();
    // Each attempt begins with `build-scheduled`: clients expect it as the first entry of a log.
    for attempt in farm.started_attempts(build).await? {
        let trace = Arc::new(Trace::of_attempt(farm, &attempt).await?);
        let scheduled = LogEntry::Phase {
            at: attempt.job.started_at.unwrap_or(attempt.job.created_at),
            phase: QuayPhase::BuildScheduled,
            base: None,
        };
        sections.push(Section::Heading(scheduled));
        let (mut last_phase, mut next_line) = (QuayPhase::BuildScheduled, 0);
        for entry in &attempt.phases {
            let Some(phase) = entry.phase.map(QuayPhase::from) else {
                continue;
            };
            // Two phases of the farm may be the same one here, and no phase is entered twice.
            if phase <= last_phase {
                continue;
            }
            last_phase = phase;
            // Phases are stored with the length of the trace at that time, which puts them between
            // the lines.
            let lines = trace.lines_before(entry.trace_length).max(next_line);
            sections.push(Section::Lines(trace.clone(), next_line..lines));
            next_line = lines;
            let base = entry.base_image.as_deref();
            sections.push(Section::Heading(LogEntry::Phase {
                at: entry.at,
                phase,
                base: base.and_then(|base| base.parse().ok()),
            }));
        }
        let lines = trace.lines(attempt.job.state.is_done()).max(next_line);
        sections.push(Section::Lines(trace.clone(), next_line..lines));
        let headings = headings_at_end(&attempt);
        sections.extend(headings.into_iter().map(Section::Heading));
    }
    Ok(sections)
}

/// The entries at the end of an attempt: its last phase and, if it failed, the error.
fn headings_at_end(attempt: &Attempt) -> Vec<LogEntry> {
    let JobState::Done(outcome) = attempt.job.state else {
        return Vec::new();
    };
    let at = attempt.job.finished_at.unwrap_or(attempt.job.created_at);
    let phase = |phase| LogEntry::Phase {
        at,
        phase,
        base: None,
    };
    match outcome {
        Outcome::Succeeded => vec![phase(QuayPhase::Complete)],
        // Quay's log has no entry for a cancellation.
        Outcome::Canceled | Outcome::Skipped => Vec::new(),
        Outcome::Failed(reason) => {
            let fault = Fault::of(reason);
            let cause = attempt.job.failure_message.clone();
            let cause = cause.filter(|_| fault.shows_cause);
            let last = QuayPhase::of_failed_attempt(reason, attempt.was_retried);
            vec![phase(last), LogEntry::Error { at, fault, cause }]
        }
    }
}

/// Splits `range` at the `marks` inside of it.
fn split(range: Range<u64>, marks: &[u64]) -> Vec<Range<u64>> {
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
    fn reading_starts_in_the_part_in_which_the_previous_line_ends() {
        // "a\nb\n" "c" "d\n" "e\nf"
        let trace = trace(&[(4, 2, true), (1, 0, false), (2, 1, true), (3, 1, false)]);
        assert_eq!(trace.before_line(0), (0, 0));
        assert_eq!(trace.before_line(1), (0, 1));
        assert_eq!(trace.before_line(2), (0, 2));
        assert_eq!(trace.before_line(3), (5, 1));
        assert_eq!(trace.before_line(4), (7, 1));
        assert_eq!(trace.lines(false), 4);
        assert_eq!(trace.lines(true), 5);
        assert_eq!(trace.lines_before(0), 0);
        assert_eq!(trace.lines_before(5), 2);
        assert_eq!(trace.lines_before(7), 3);
        assert_eq!(trace.lines_before(u64::MAX), 4);
    }

    #[test]
    fn an_empty_trace_has_no_lines() {
        let trace = trace(&[]);
        assert_eq!(trace.before_line(0), (0, 0));
        assert_eq!((trace.lines(false), trace.lines(true)), (0, 0));
    }

    #[test]
    fn a_chunk_is_split_where_phases_were_entered() {
        assert_eq!(split(2..9, &[0, 2, 4, 4, 9, 12]), [2..4, 4..9]);
        assert_eq!(split(2..9, &[]), vec![Range { start: 2, end: 9 }]);
        assert!(split(9..9, &[9]).is_empty());
    }
}

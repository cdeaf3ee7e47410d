//! The log of a build, as those who build packages read it: one list of entries over all attempts,
//! to which more is only ever added.
//!
//! Nothing of it is stored. It follows from the attempts, the phases they entered and the lines of
//! their traces, of which each chunk's row has the count: so the entry that a reader asks for is
//! found without reading the traces before it.

use chrono::TimeDelta;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use slipway_store::builds::Build;

use super::attempts::Section;
use super::entry::LogEntry;
use super::lines::Lines;
use crate::builds::quay::quay_phases::PackagePhase;
use crate::error::FarmError;
use crate::farm::Farm;

/// After how many days the log of every build that is over is complete.
const COMPLETE_AFTER_DAYS: i64 = 15;

/// A log, from some entry on.
pub struct BuildLog {
    /// How many entries the log has, wherever these begin.
    pub total: u64,
    /// The entries, oldest first. They are read as they are asked for.
    pub entries: BoxStream<'static, Result<LogEntry, FarmError>>,
}

impl Farm {
    /// The log of a build from the entry `start` on; a negative one counts from the end.
    ///
    /// Jobs stand in it in the order in which they began, each once all before it are over. A line
    /// is an entry once it has its end, or its attempt is over. What a runner says after that is in
    /// the trace alone.
    ///
    /// # Errors
    /// `Unavailable` when the database is, or blobs whose lines nobody counted.
    pub async fn build_log(&self, build: &Build, start: i64) -> Result<BuildLog, FarmError> {
        let sections = self.log_sections(build).await?;
        let total: u64 = sections.iter().map(Section::len).sum();
        let from = match u64::try_from(start) {
            Ok(from) => from,
            Err(_) => total.saturating_sub(start.unsigned_abs()),
        };
        let farm = self.clone();
        let entries = stream::iter(from_entry(sections, from))
            .map(Ok)
            .and_then(move |section| {
                let farm = farm.clone();
                async move { farm.section_entries(section).await }
            })
            .try_flatten()
            .boxed();
        Ok(BuildLog { total, entries })
    }

    async fn section_entries(
        &self,
        section: Section,
    ) -> Result<BoxStream<'static, Result<LogEntry, FarmError>>, FarmError> {
        match section {
            Section::Heading(entry) => Ok(stream::iter([Ok(entry)]).boxed()),
            Section::Lines(trace, wanted) => {
                let (from, skipped) = trace.before_line(wanted.start);
                let bytes = self.trace_bytes(trace.job, from..trace.end).await?;
                let lines = Lines::new(trace, from, skipped, wanted.end - wanted.start);
                Ok(lines.of(bytes.boxed()))
            }
        }
    }

    /// Whether the log of a build in this phase is complete for good, so that it is told as a
    /// whole. That of a build which the farm lost might go on, and is as it was for much longer.
    pub fn log_is_complete(&self, build: &Build, phase: PackagePhase) -> bool {
        let Some(finished) = build.finished_at else {
            return false;
        };
        let (now, settings) = (self.now(), &self.inner.settings);
        let wait = TimeDelta::from_std(settings.log_complete_after).unwrap_or(TimeDelta::MAX);
        let is_old = build.created_at + TimeDelta::days(COMPLETE_AFTER_DAYS) <= now;
        is_old || (phase.is_final() && finished + wait <= now)
    }
}

/// What is left of `sections` from the entry `from` on.
fn from_entry(sections: Vec<Section>, mut from: u64) -> Vec<Section> {
    let mut left = Vec::new();
    for section in sections {
        let length = section.len();
        if from >= length {
            from -= length;
            continue;
        }
        left.push(section.skip(from));
        from = 0;
    }
    left
}

//! The log of a build: one list of entries over all attempts, which only ever grows at its end.
//!
//! Nothing of it is stored. It follows from the attempts, the phases that they entered and the lines
//! of their traces. The row of each trace chunk has its number of lines, so the entry that a client
//! asks for is found without reading the traces before it.

mod entries;
mod lines;
mod sections;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use slipway_domain::JobId;
use slipway_farm::{Build, Farm, FarmError};

pub(crate) use self::entries::LogEntry;
use self::lines::Lines;
use self::sections::Section;

/// A log, from some entry on.
pub(crate) struct BuildLog {
    /// The number of entries of the whole log.
    pub(crate) total: u64,
    /// The traces that the entries are read from, and where in them.
    traces: Vec<(JobId, u64)>,
    /// The entries, oldest first. They are read while the stream is polled.
    pub(crate) entries: BoxStream<'static, Result<LogEntry, FarmError>>,
}

impl BuildLog {
    /// The log of a build from the entry `start` on; a negative one counts from the end.
    ///
    /// Jobs appear in the order in which they started, each after all before it are finished. A line
    /// is an entry when it is complete or its attempt is finished. What a runner sends after that is
    /// only in the trace.
    ///
    /// # Errors
    /// `Unavailable` if the database is, or a blob whose lines were not counted when it was stored.
    pub(crate) async fn read(farm: &Farm, build: &Build, start: i64) -> Result<Self, FarmError> {
        let sections = sections::of_build(farm, build).await?;
        let total: u64 = sections.iter().map(Section::len).sum();
        // A negative start before the first entry means the whole log.
        let from = match u64::try_from(start) {
            Ok(from) => from,
            Err(_) => total.saturating_sub(start.unsigned_abs()),
        };
        let farm = farm.clone();
        let sections = skip_entries(sections, from);
        let traces = sections.iter().filter_map(|section| match section {
            Section::Heading(_) => None,
            Section::Lines(trace, wanted) => Some((trace.job, trace.before_line(wanted.start).0)),
        });
        let traces = traces.collect();
        let entries = stream::iter(sections)
            .map(Ok)
            .and_then(move |section| section_entries(farm.clone(), section))
            .try_flatten()
            .boxed();
        Ok(Self {
            total,
            traces,
            entries,
        })
    }

    /// The log without entries, for clients that then ask again.
    pub(crate) fn empty() -> Self {
        Self {
            total: 0,
            traces: Vec::new(),
            entries: stream::empty().boxed(),
        }
    }

    /// Checks that all entries can be read, before the first one is sent.
    ///
    /// # Errors
    /// `ContentMissing`, and `Unavailable` if the blob store or the database is.
    pub(crate) async fn check(&self, farm: &Farm) -> Result<(), FarmError> {
        for (job, from) in &self.traces {
            farm.check_trace(*job, *from).await?;
        }
        Ok(())
    }
}

async fn section_entries(
    farm: Farm,
    section: Section,
) -> Result<BoxStream<'static, Result<LogEntry, FarmError>>, FarmError> {
    match section {
        Section::Heading(entry) => Ok(stream::iter([Ok(entry)]).boxed()),
        Section::Lines(trace, wanted) => {
            let (from, skipped) = trace.before_line(wanted.start);
            let bytes = farm.trace_bytes(trace.job, from..trace.end).await?;
            let lines = Lines::new(trace, from, skipped, wanted.end - wanted.start);
            let lines = lines.with_times(farm);
            Ok(lines.entries(bytes.boxed()))
        }
    }
}

/// The sections without their first `count` entries.
fn skip_entries(sections: Vec<Section>, mut count: u64) -> Vec<Section> {
    let mut rest = Vec::new();
    // Sections that are skipped as a whole are never read.
    for section in sections {
        let length = section.len();
        if count >= length {
            count -= length;
            continue;
        }
        rest.push(section.skip(count));
        count = 0;
    }
    rest
}

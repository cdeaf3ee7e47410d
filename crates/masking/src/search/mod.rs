//! Finds secrets in a stream, in whatever form tools print them.
//!
//! Nothing is enumerated: a secret has a few short [anchors](index), and where one occurs in the
//! output, [`matching`] compares output and secret. [`readings`] lists what an escape may stand for,
//! and [`forms`] which characters of base64 or hexadecimal text a secret requires. [`pieces`] are lines
//! of such text. [`opening`] reads the first bytes if they are escapes. [`stream`] holds what is between two pieces of output.

mod forms;
mod index;
mod matching;
mod opening;
mod pieces;
mod readings;
pub(crate) mod stream;

use self::index::Index;
use crate::texts::Texts;

/// Everything that is searched for.
#[derive(Debug)]
pub(crate) struct Search {
    texts: Texts,
    index: Index,
    /// The most bytes of output that one secret spans.
    pub(crate) max_span: u64,
}

impl Search {
    /// Prepares the search for these secrets. `None` if they are too many or too large.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let texts = Texts::new(secrets)?;
        Some(Self {
            index: Index::new(&texts),
            texts,
            max_span: u64::MAX,
        })
    }

    /// Finds only occurrences that span at most `factor` times as many bytes as the longest secret.
    pub(crate) fn with_max_span(self, factor: u64) -> Self {
        let longest = self.texts.lengths().max().unwrap_or(0);
        let max_span = factor * longest as u64;
        Self { max_span, ..self }
    }

    /// Whether there is nothing to search for.
    pub(crate) fn is_empty(&self) -> bool {
        self.texts.len() == 0
    }
}

//! Replaces secrets by `[MASKED]`, in all forms in which tools print them.
//!
//! These forms are the secret itself, hexadecimal and base64 text (at each of the three alignments
//! inside a longer text, in both alphabets, and broken into lines), and each of them with the escapes
//! of URLs, JSON, Go, C, HTML and shells, in any spelling. In a secret with several lines, each long
//! line is masked too, because tools print line by line.
//!
//! Secrets shorter than [`MIN_SECRET`](crate::texts::MIN_SECRET) bytes are not masked;
//! [`Shortfall`](crate::texts::Shortfall) tells which.

use std::sync::Arc;

use crate::search::Search;
use crate::search::stream::{Sink, Stream};

/// Replaces a secret.
const MASK: &[u8] = b"[MASKED]";

/// The secrets of one job, prepared for the search.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// `None` if there are too many to search for. Then everything is masked.
    search: Option<Arc<Search>>,
}

impl Secrets {
    /// Prepares the search for these secrets. For many megabytes of secrets, this takes seconds.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let search = Search::new(secrets).map(Arc::new);
        Self { search }
    }

    /// Whether there are more secrets than can be searched for, so that all output is masked.
    pub fn mask_everything(&self) -> bool {
        self.search.is_none()
    }

    /// Masks a complete text.
    pub fn mask(&self, text: &str) -> String {
        let mut masked = Vec::with_capacity(text.len());
        let mut masker = Masker::new(self.clone());
        masker.push(text.as_bytes(), &mut masked);
        masker.finish(&mut masked);
        String::from_utf8_lossy(&masked).into_owned()
    }
}

/// Masks one stream of bytes, however it is cut into pieces.
///
/// It holds back what may be the start of a secret, and never more than some kilobytes.
#[derive(Debug)]
pub struct Masker {
    secrets: Secrets,
    stream: Stream,
    /// Whether the mask that replaces everything was written.
    has_masked: bool,
}

impl Masker {
    /// Starts a stream.
    pub fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            stream: Stream::default(),
            has_masked: false,
        }
    }

    /// Takes the next piece, and appends the bytes that are safe to show to `shown`.
    pub fn push(&mut self, piece: &[u8], shown: &mut Vec<u8>) {
        match self.secrets.search.as_deref() {
            Some(search) if search.is_empty() => shown.extend_from_slice(piece),
            Some(search) => self.stream.push(search, piece, &mut Replaced(shown)),
            None if piece.is_empty() || self.has_masked => {}
            None => {
                shown.extend_from_slice(MASK);
                self.has_masked = true;
            }
        }
    }

    /// Ends the stream, and appends the bytes that were held back.
    pub fn finish(&mut self, shown: &mut Vec<u8>) {
        if let Some(search) = self.secrets.search.as_deref()
            && !search.is_empty()
        {
            self.stream.finish(search, &mut Replaced(shown));
        }
    }

    /// How many bytes are held back.
    pub fn held_back(&self) -> usize {
        self.stream.held_back().len()
    }
}

struct Replaced<'a>(&'a mut Vec<u8>);

impl Sink for Replaced<'_> {
    fn show(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn hide(&mut self, _count: usize, is_new: bool) {
        if is_new {
            self.0.extend_from_slice(MASK);
        }
    }
}

#[cfg(test)]
mod tests;

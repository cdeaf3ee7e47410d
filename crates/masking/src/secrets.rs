//! Replaces secrets by `[MASKED]`, in all forms in which tools print them.
//!
//! These forms are the secret itself, base64 (at each of the three alignments inside a longer text,
//! and broken into lines), percent-encoding and JSON strings. In a secret with several lines, each
//! long line is masked too, because tools print line by line. A secret may arrive in pieces: bytes
//! that could be the start of one are held back until more bytes follow.
//!
//! Secrets shorter than [`MIN_SECRET`] bytes are not masked. They occur in any text by chance, and
//! the masks would reveal them to readers of the trace.

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::partial::open_end;

/// The shortest secret that is masked, in bytes.
pub const MIN_SECRET: usize = 4;
/// The shortest line of a secret that is masked by itself, in bytes.
const MIN_LINE: usize = 8;
/// The shortest secret whose base64 text tools break into lines, in bytes.
const MIN_WRAPPED: usize = 16;
/// How much of a secret is masked in base64 text that is broken into lines, in bytes.
const MAX_WRAPPED: usize = 16 * 1024;
/// The size of the parts of a secret that are searched for in such lines, in bytes.
const WINDOW: usize = 24;
/// Replaces a secret.
const MASK: &[u8] = b"[MASKED]";

/// All forms of all secrets of one job.
#[derive(Clone)]
pub struct Secrets {
    patterns: Vec<Vec<u8>>,
    finder: Option<AhoCorasick>,
    longest: usize,
}

impl Secrets {
    /// Prepares the search for these secrets.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut patterns: Vec<Vec<u8>> = secrets.into_iter().flat_map(forms).collect();
        patterns.sort();
        patterns.dedup();
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        // It fails only for more text than a job can carry. Then everything is masked.
        let finder = AhoCorasick::new(&patterns).ok();
        Self {
            patterns,
            finder,
            longest,
        }
    }

    /// Masks a complete text.
    pub fn mask(&self, text: &str) -> String {
        let mut masker = Masker::new(self.clone());
        let mut masked = masker.push(text.as_bytes());
        masked.extend(masker.finish());
        String::from_utf8_lossy(&masked).into_owned()
    }

    /// The first position from which `text` could be the start of a secret.
    fn open_from(&self, text: &[u8]) -> usize {
        let is_start = |end: &[u8]| {
            // The patterns are sorted, so those that start with `end` directly follow it. A pattern
            // that equals `end` is complete and has been found already.
            let after = self.patterns.partition_point(|pattern| **pattern <= *end);
            let next = self.patterns.get(after);
            next.is_some_and(|pattern| pattern.starts_with(end))
        };
        text.len() - open_end(text, self.longest.saturating_sub(1), is_start)
    }

    /// The ranges of `text` to mask, in order. Ranges that overlap are merged. The first `covered`
    /// bytes belong to a secret that was found before.
    fn ranges(&self, text: &[u8], covered: usize) -> Vec<(usize, usize)> {
        let Some(finder) = &self.finder else {
            return vec![(0, text.len())];
        };
        let mut found: Vec<(usize, usize)> = finder
            .find_overlapping_iter(text)
            .map(|found| (found.start(), found.end()))
            .chain((covered > 0).then_some((0, covered)))
            .collect();
        found.sort_unstable();
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for (start, end) in found {
            match ranges.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(end),
                _ => ranges.push((start, end)),
            }
        }
        ranges
    }
}

/// Masks one stream of bytes, however it is cut into pieces.
///
/// It always holds back less than the longest form of a secret.
pub struct Masker {
    secrets: Secrets,
    held_back: Vec<u8>,
    /// How many of the bytes that are held back belong to a range whose mask was already returned.
    covered: usize,
}

impl Masker {
    /// Starts a stream.
    pub fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            held_back: Vec::new(),
            covered: 0,
        }
    }

    /// Takes the next piece and returns the bytes that are safe to show.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held_back.extend_from_slice(piece);
        let end = self.secrets.open_from(&self.held_back);
        self.release(end)
    }

    /// Ends the stream and returns the bytes that were held back.
    pub fn finish(&mut self) -> Vec<u8> {
        self.release(self.held_back.len())
    }

    /// Returns the bytes before `end`, masked, and holds back the rest.
    fn release(&mut self, end: usize) -> Vec<u8> {
        let text = std::mem::take(&mut self.held_back);
        let (known, open) = text.split_at(end);
        let mut shown = Vec::with_capacity(known.len());
        let (mut at, mut covered) = (0, 0);
        for (from, to) in self.secrets.ranges(&text, self.covered) {
            // A range that starts in the rest is found again with the next piece.
            if from >= end {
                break;
            }
            shown.extend_from_slice(known.get(at..from).unwrap_or_default());
            // Bytes that continue a range get no second mask.
            let was_masked = from == 0 && self.covered > 0;
            if !was_masked {
                shown.extend_from_slice(MASK);
            }
            at = to;
            covered = to.saturating_sub(end);
        }
        shown.extend_from_slice(known.get(at..).unwrap_or_default());
        if end == 0 {
            covered = self.covered;
        }
        self.covered = covered;
        self.held_back = open.to_vec();
        shown
    }
}

/// The forms in which tools print a secret.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let secret = secret.trim_matches(['\n', '\r']);
    let lines = secret.lines().filter(|line| line.trim().len() >= MIN_LINE);
    let lines = lines.map(str::trim).filter(|line| *line != secret);
    let mut forms = Vec::new();
    for text in std::iter::once(secret).chain(lines) {
        if text.len() < MIN_SECRET {
            continue;
        }
        forms.push(text.as_bytes().to_vec());
        let percent = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        forms.push(percent.to_lowercase().into_bytes());
        forms.push(percent.into_bytes());
        let json = serde_json::to_string(text).unwrap_or_default();
        forms.push(json.trim_matches('"').as_bytes().to_vec());
        forms.extend(base64_forms(text));
    }
    if secret.len() >= MIN_WRAPPED {
        forms.extend(wrapped_forms(secret));
    }
    forms.retain(|form| form.len() >= MIN_SECRET);
    forms
}

/// The base64 text of the secret at each alignment, without the letters that also depend on the
/// bytes around it.
fn base64_forms(text: &str) -> impl Iterator<Item = Vec<u8>> {
    [(0, 0), (1, 2), (2, 3)]
        .into_iter()
        .flat_map(move |(before, skipped)| {
            let bytes = [&[0; 2][..before], text.as_bytes()].concat();
            let whole = bytes.len() * 8 / 6;
            [STANDARD.encode(&bytes), URL_SAFE.encode(&bytes)]
                .map(|form| form.as_bytes()[skipped..whole].to_vec())
        })
        .filter(|form| form.len() >= MIN_SECRET)
}

/// The base64 text of all parts of a long secret. Wherever a tool breaks the whole text into lines,
/// such parts cover each line. Shorter parts cover the first and the last line.
fn wrapped_forms(secret: &str) -> impl Iterator<Item = Vec<u8>> {
    let bytes = &secret.as_bytes()[..secret.len().min(MAX_WRAPPED)];
    let ends = (bytes.len().saturating_sub(WINDOW)..bytes.len()).map(|from| &bytes[from..]);
    let begins = (9..WINDOW)
        .step_by(3)
        .flat_map(move |length| (0..3).filter_map(move |from| bytes.get(from..from + length)));
    bytes
        .windows(WINDOW)
        .chain(ends.filter(|part| part.len() >= 6))
        .chain(begins)
        .flat_map(|part| {
            // The last letter may also depend on the byte that follows.
            let whole = part.len() * 8 / 6;
            [STANDARD.encode(part), URL_SAFE.encode(part)]
                .map(|form| form.as_bytes()[..whole].to_vec())
        })
}

#[cfg(test)]
mod tests;

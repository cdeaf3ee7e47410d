//! Secrets are taken out of the trace before it is written anywhere.
//!
//! Looked for are the secrets themselves and the forms in which tools show them: base64 (at any of
//! the three ways it can begin inside a longer text, and broken into lines), percent-encoding and
//! JSON strings. Of a secret with several lines each long line counts too, since tools print line by line. A secret
//! may come in pieces: what could be the beginning of one is kept back until more is known.
//!
//! Secrets under [`MIN_SECRET`] bytes are not looked for. They occur in any text by chance, and
//! the gaps would tell them to whoever reads the trace.

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// The shortest secret that is looked for, in bytes.
pub const MIN_SECRET: usize = 4;
/// The shortest line of a secret with several lines that is looked for by itself, in bytes.
const MIN_LINE: usize = 8;
/// The shortest secret whose base64 text tools break into lines, in bytes.
const MIN_WRAPPED: usize = 16;
/// How much of a secret is looked for in parts of a base64 text, in bytes.
const MAX_WRAPPED: usize = 16 * 1024;
/// How much of a secret such a part has, in bytes.
const WINDOW: usize = 24;
/// What a secret is replaced by.
const MASK: &[u8] = b"[MASKED]";

/// All forms of all secrets of one job.
#[derive(Clone)]
pub struct Secrets {
    patterns: Vec<Vec<u8>>,
    finder: Option<AhoCorasick>,
    longest: usize,
}

impl Secrets {
    /// Prepares to look for these.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut patterns: Vec<Vec<u8>> = secrets.into_iter().flat_map(forms).collect();
        patterns.sort();
        patterns.dedup();
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        // Building fails only for more text than a job can carry; then nothing may be shown.
        let finder = AhoCorasick::new(&patterns).ok();
        Self {
            patterns,
            finder,
            longest,
        }
    }

    /// Masks a text that is whole.
    pub fn mask(&self, text: &str) -> String {
        let mut masker = Masker::new(self.clone());
        let mut masked = masker.push(text.as_bytes());
        masked.extend(masker.finish());
        String::from_utf8_lossy(&masked).into_owned()
    }

    /// The first position from which `text` could be the beginning of a secret.
    fn open_end(&self, text: &[u8]) -> usize {
        let from = text.len().saturating_sub(self.longest.saturating_sub(1));
        let begins = |at: &usize| {
            let tail = text.get(*at..).unwrap_or_default();
            // They are sorted, so that those which begin with it come right after it.
            let after = self.patterns.partition_point(|pattern| **pattern <= *tail);
            let next = self.patterns.get(after);
            next.is_some_and(|pattern| pattern.starts_with(tail))
        };
        (from..text.len()).find(begins).unwrap_or(text.len())
    }

    /// Where secrets are, in order; those that overlap are one. The first `covered` bytes are
    /// known to belong to one.
    fn places(&self, text: &[u8], covered: usize) -> Vec<(usize, usize)> {
        let Some(finder) = &self.finder else {
            return vec![(0, text.len())];
        };
        let mut found: Vec<(usize, usize)> = finder
            .find_overlapping_iter(text)
            .map(|found| (found.start(), found.end()))
            .chain((covered > 0).then_some((0, covered)))
            .collect();
        found.sort_unstable();
        let mut places: Vec<(usize, usize)> = Vec::new();
        for (start, end) in found {
            match places.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(end),
                _ => places.push((start, end)),
            }
        }
        places
    }
}

/// Masks one stream of bytes, however it is cut into pieces.
///
/// It never keeps back as much as the longest form of a secret.
pub struct Masker {
    secrets: Secrets,
    kept_back: Vec<u8>,
    /// How many of the bytes kept back belong to a place whose mask was shown already.
    covered: usize,
}

impl Masker {
    /// Begins a stream.
    pub fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            kept_back: Vec::new(),
            covered: 0,
        }
    }

    /// Takes the next piece; returns what is safe to show.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.kept_back.extend_from_slice(piece);
        let end = self.secrets.open_end(&self.kept_back);
        self.show(end)
    }

    /// Ends the stream; returns what was kept back.
    pub fn finish(&mut self) -> Vec<u8> {
        self.show(self.kept_back.len())
    }

    /// Shows the bytes before `end`, from which on more has to be known.
    fn show(&mut self, end: usize) -> Vec<u8> {
        let text = std::mem::take(&mut self.kept_back);
        let (known, open) = text.split_at(end);
        let mut shown = Vec::with_capacity(known.len());
        let (mut at, mut covered) = (0, 0);
        for (from, to) in self.secrets.places(&text, self.covered) {
            // What begins later is found again when more is known.
            if from >= end {
                break;
            }
            shown.extend_from_slice(known.get(at..from).unwrap_or_default());
            let was_shown = from == 0 && self.covered > 0;
            if !was_shown {
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
        self.kept_back = open.to_vec();
        shown
    }
}

/// The forms in which a secret may show.
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

/// The part of each base64 text with the secret inside that does not depend on what is around it.
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

/// The base64 texts of all parts of a long secret: wherever a tool breaks the text of the whole into
/// lines, each line is covered by such parts. A line that is the end of it may have less.
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
            // What a part shares its last letter with is not known.
            let whole = part.len() * 8 / 6;
            [STANDARD.encode(part), URL_SAFE.encode(part)]
                .map(|form| form.as_bytes()[..whole].to_vec())
        })
}

#[cfg(test)]
#[path = "mask/tests.rs"]
mod tests;
